package client

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const (
	atOnce     = 8  // calls
	maxEntries = 10 // of a call
	sends      = 4  // one, and three more for what SQS rejected by a fault of its own
	backoff    = 200 * time.Millisecond
)

// SQS is what a Publisher needs of *sqs.Client.
type SQS interface {
	SendMessageBatch(
		context.Context, *sqs.SendMessageBatchInput, ...func(*sqs.Options),
	) (*sqs.SendMessageBatchOutput, error)
}

// MalformedEventsError says that some events break the contract, and none was sent. Faults has those of each, by its
// position.
type MalformedEventsError struct {
	Faults map[int][]Fault
}

func (malformed *MalformedEventsError) Error() string {
	var told []string
	for _, position := range slices.Sorted(maps.Keys(malformed.Faults)) {
		for _, fault := range malformed.Faults[position] {
			told = append(told, fmt.Sprintf("event [%d]: %s", position, fault))
		}
	}
	return strings.Join(told, "; ")
}

// Outcome is what became of one event, by its position among those that were given. MessageID is the queue message's,
// empty if SQS did not take it; then Err says why. Where SQS did not respond, the event may be on the queue all the same.
type Outcome struct {
	Position  int
	EventID   string
	MessageID string
	Err       error
}

// Publisher publishes to the queue at an address, the stack's output IssueEventsQueueUrl. Goroutines may share one.
type Publisher struct {
	client SQS
	url    string
	sleep  func(context.Context, time.Duration)
}

// NewPublisher makes a Publisher; client is an *sqs.Client.
func NewPublisher(client SQS, queueURL string) *Publisher {
	return &Publisher{client: client, url: queueURL, sleep: sleep}
}

// Publish sends one event; the id of its queue message. What SQS did not take may be sent again: under the same event_id
// its webhooks are the same.
func (publisher *Publisher) Publish(ctx context.Context, event any) (string, error) {
	outcomes, err := publisher.PublishAll(ctx, []any{event})
	if err != nil {
		return "", err
	}
	if err := outcomes[0].Err; err != nil {
		return "", fmt.Errorf("event %s: %w", outcomes[0].EventID, err)
	}
	return outcomes[0].MessageID, nil
}

// PublishAll sends events; what became of each, in their order. The error is a *MalformedEventsError, and then none was
// sent. Once ctx is done, no more is begun.
func (publisher *Publisher) PublishAll(ctx context.Context, events []any) ([]Outcome, error) {
	messages, err := messagesOf(events)
	if err != nil {
		return nil, err
	}
	outcomes := make([]Outcome, len(messages))
	waiting := make(chan []message)
	var workers sync.WaitGroup
	for range atOnce {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for batch := range waiting {
				publisher.send(ctx, batch, outcomes)
			}
		}()
	}
	for _, batch := range batches(messages) {
		waiting <- batch
	}
	close(waiting)
	workers.Wait()
	return outcomes, nil
}

// send sends one batch; what SQS rejects by a fault of its own is sent again, up to `sends` times. Each message has a
// place of its own in outcomes.
func (publisher *Publisher) send(ctx context.Context, batch []message, outcomes []Outcome) {
	for calls := range sends {
		if calls > 0 {
			publisher.sleep(ctx, time.Duration(rand.Float64()*float64(backoff<<calls)))
		}
		response, err := publisher.call(ctx, batch)
		if err != nil {
			for _, each := range batch {
				outcomes[each.position] = Outcome{Position: each.position, EventID: each.eventID, Err: err}
			}
			return
		}
		named := make(map[string]message, len(batch))
		for _, each := range batch {
			named[strconv.Itoa(each.position)] = each
		}
		for _, sent := range response.Successful {
			each := named[aws.ToString(sent.Id)]
			outcomes[each.position] = Outcome{each.position, each.eventID, aws.ToString(sent.MessageId), nil}
		}
		batch = nil
		for _, failed := range response.Failed {
			each := named[aws.ToString(failed.Id)]
			outcomes[each.position] = Outcome{Position: each.position, EventID: each.eventID, Err: rejection(failed)}
			if !failed.SenderFault {
				batch = append(batch, each)
			}
		}
		if len(batch) == 0 {
			return
		}
	}
}

func (publisher *Publisher) call(ctx context.Context, batch []message) (*sqs.SendMessageBatchOutput, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	input := &sqs.SendMessageBatchInput{QueueUrl: &publisher.url}
	for _, each := range batch {
		input.Entries = append(input.Entries, types.SendMessageBatchRequestEntry{
			Id: aws.String(strconv.Itoa(each.position)), MessageBody: &each.text, MessageGroupId: &each.group,
		})
	}
	return publisher.client.SendMessageBatch(ctx, input)
}

type message struct {
	position             int
	text, eventID, group string
}

func messagesOf(events []any) ([]message, error) {
	found := map[int][]Fault{}
	messages := make([]message, 0, len(events))
	for position, event := range events {
		text, fault := encode(event)
		if fault != nil {
			found[position] = []Fault{*fault}
			continue
		}
		if faults := Check(text); len(faults) > 0 {
			found[position] = faults
			continue
		}
		var ids struct {
			EventID      string `json:"event_id"`
			Organization string `json:"organization_id"`
		}
		if err := json.Unmarshal([]byte(text), &ids); err != nil {
			return nil, err
		}
		messages = append(messages, message{position, text, ids.EventID, ids.Organization})
	}
	if len(found) > 0 {
		return nil, &MalformedEventsError{found}
	}
	return messages, nil
}

// batches are messages in runs that one call may carry.
func batches(messages []message) [][]message {
	var runs [][]message
	size := 0
	for _, each := range messages {
		last := len(runs) - 1
		if last < 0 || len(runs[last]) == maxEntries || size+len(each.text) > maxEventBytes {
			runs = append(runs, []message{each})
			size = len(each.text)
		} else {
			runs[last] = append(runs[last], each)
			size += len(each.text)
		}
	}
	return runs
}

func rejection(failed types.BatchResultErrorEntry) error {
	code := cmp.Or(aws.ToString(failed.Code), "rejected")
	if failed.Message == nil {
		return fmt.Errorf("%s", code)
	}
	return fmt.Errorf("%s: %s", code, *failed.Message)
}

func sleep(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
