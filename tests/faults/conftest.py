from tests.e2e.conftest import note

__all__ = ["note"]
