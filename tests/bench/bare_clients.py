"""The least a function with these clients can be: what a function's start is held against."""

import os

import boto3

CLIENTS = [boto3.client(name) for name in os.environ["BENCH_CLIENTS"].split(",")]


def handler(event, context):
    """Do nothing."""
