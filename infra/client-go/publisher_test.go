package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

type entry struct{ Id, MessageBody, MessageGroupId string }

type fault struct {
	Id, Code, Message string
	SenderFault       bool
}

// fakeSQS is an SQS on loopback, in its JSON protocol; verdict says what it rejects, and why.
type fakeSQS struct {
	mutex   sync.Mutex
	calls   [][]entry
	verdict func(entry) *fault
	status  int
}

func (fake *fakeSQS) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	fake.mutex.Lock()
	defer fake.mutex.Unlock()
	var given struct{ Entries []entry }
	if err := json.NewDecoder(request.Body).Decode(&given); err != nil ||
		request.Header.Get("X-Amz-Target") != "AmazonSQS.SendMessageBatch" {
		http.Error(response, "no", http.StatusBadRequest)
		return
	}
	fake.calls = append(fake.calls, given.Entries)
	response.Header().Set("Content-Type", "application/x-amz-json-1.0")
	if fake.status != 0 {
		response.WriteHeader(fake.status)
		fmt.Fprint(response, `{"__type": "com.amazonaws.sqs#AccessDeniedException", "message": "no"}`)
		return
	}
	made := map[string][]any{"Successful": {}, "Failed": {}}
	for _, each := range given.Entries {
		if rejected := fake.verdict(each); rejected != nil {
			rejected.Id = each.Id
			made["Failed"] = append(made["Failed"], rejected)
		} else {
			made["Successful"] = append(made["Successful"], map[string]string{"Id": each.Id, "MessageId": "m-" + each.Id})
		}
	}
	_ = json.NewEncoder(response).Encode(made)
}

func (fake *fakeSQS) sizes() []int {
	var found []int
	for _, call := range fake.calls {
		found = append(found, len(call))
	}
	slices.Sort(found)
	return found
}

func prepare(t *testing.T) (*fakeSQS, *Publisher) {
	fake := &fakeSQS{verdict: func(entry) *fault { return nil }}
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	provider := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "local", SecretAccessKey: "local"}, nil
	})
	client := sqs.New(sqs.Options{
		BaseEndpoint: &server.URL, Region: "us-east-1", Credentials: provider, DisableMessageChecksumValidation: true,
	})
	publisher := NewPublisher(client, server.URL+"/1/events")
	publisher.sleep = func(context.Context, time.Duration) {}
	return fake, publisher
}

func issue(id string, more ...any) map[string]any {
	made := map[string]any{"event_id": id, "type": "created", "organization_id": "acme", "issue": map[string]any{"id": 1}}
	for at := 0; at < len(more); at += 2 {
		made[more[at].(string)] = more[at+1]
	}
	return made
}

func issues(number int, more ...any) []any {
	var made []any
	for n := range number {
		made = append(made, issue(fmt.Sprintf("e-%d", n), more...))
	}
	return made
}

func TestEventsGoInBatchesOfTenInTheGroupOfTheirOrganisation(t *testing.T) {
	fake, publisher := prepare(t)
	outcomes, err := publisher.PublishAll(context.Background(), issues(25))
	if err != nil || !slices.Equal(fake.sizes(), []int{5, 10, 10}) {
		t.Fatal(err, fake.sizes())
	}
	for n, outcome := range outcomes {
		if outcome != (Outcome{n, fmt.Sprintf("e-%d", n), fmt.Sprintf("m-%d", n), nil}) {
			t.Error(outcome)
		}
	}
	for _, each := range fake.calls[0] {
		if each.MessageGroupId != "acme" {
			t.Error(each)
		}
	}
}

func TestABatchHasAtMost256KiB(t *testing.T) {
	fake, publisher := prepare(t)
	_, err := publisher.PublishAll(context.Background(), issues(4, "data", map[string]any{"t": strings.Repeat("€", 30_000)}))
	if err != nil || !slices.Equal(fake.sizes(), []int{2, 2}) {
		t.Error(err, fake.sizes())
	}
}

func TestAJSONTextIsSentAsItWasWritten(t *testing.T) {
	fake, publisher := prepare(t)
	text, _ := json.MarshalIndent(issue("e"), "", "   ")
	id, err := publisher.Publish(context.Background(), string(text))
	if err != nil || id != "m-0" || fake.calls[0][0].MessageBody != string(text) {
		t.Error(id, err, fake.calls)
	}
}

func TestWhatSQSRejectsByItsOwnFaultIsSentAgainAndNothingElse(t *testing.T) {
	fake, publisher := prepare(t)
	rejections := 1
	fake.verdict = func(each entry) *fault {
		if each.Id != "1" || rejections == 0 {
			return nil
		}
		rejections--
		return &fault{Code: "InternalError"}
	}
	outcomes, err := publisher.PublishAll(context.Background(), issues(3))
	if err != nil || !slices.Equal(fake.sizes(), []int{1, 3}) || outcomes[1].MessageID != "m-1" || outcomes[1].Err != nil {
		t.Error(err, fake.sizes(), outcomes)
	}
}

func TestWhatSQSGoesOnRejectingIsGivenUpAfterFourCalls(t *testing.T) {
	fake, publisher := prepare(t)
	fake.verdict = func(entry) *fault { return &fault{Code: "InternalError"} }
	_, err := publisher.Publish(context.Background(), issue("e-0"))
	if err == nil || !strings.HasPrefix(err.Error(), "event e-0: InternalError") || len(fake.calls) != 4 {
		t.Error(err, len(fake.calls))
	}
}

func TestAPartialFailureIsReportedForEachEvent(t *testing.T) {
	fake, publisher := prepare(t)
	fake.verdict = func(each entry) *fault {
		if each.Id != "1" {
			return nil
		}
		return &fault{Code: "InvalidParameterValue", Message: "no", SenderFault: true}
	}
	outcomes, err := publisher.PublishAll(context.Background(), issues(3))
	if err != nil || outcomes[0].Err != nil || outcomes[2].Err != nil || len(fake.calls) != 1 {
		t.Fatal(err, outcomes)
	}
	if outcomes[1].EventID != "e-1" || outcomes[1].MessageID != "" || outcomes[1].Err.Error() != "InvalidParameterValue: no" {
		t.Error(outcomes[1])
	}
}

func TestACallThatFailsIsTheOutcomeOfItsEventsAlone(t *testing.T) {
	fake, publisher := prepare(t)
	fake.status = http.StatusForbidden
	outcomes, err := publisher.PublishAll(context.Background(), issues(2))
	if err != nil || outcomes[0].Err == nil || outcomes[1].Err == nil || outcomes[1].EventID != "e-1" {
		t.Error(err, outcomes)
	}
}

func TestNoneIsSentIfSomeBreakTheContractAndEveryFaultIsTold(t *testing.T) {
	fake, publisher := prepare(t)
	_, err := publisher.PublishAll(context.Background(), []any{issue("e"), issue("a b"), "{}"})
	var malformed *MalformedEventsError
	if !errors.As(err, &malformed) || len(malformed.Faults) != 2 || len(fake.calls) != 0 {
		t.Fatal(err)
	}
	if !strings.HasPrefix(err.Error(), `event [1]: event_id: is "a b", which is no event id`) {
		t.Error(err)
	}
}

func TestOnceTheContextIsDoneNoMoreIsBegun(t *testing.T) {
	fake, publisher := prepare(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	outcomes, err := publisher.PublishAll(ctx, issues(30))
	if err != nil || len(fake.calls) != 0 || !errors.Is(outcomes[29].Err, context.Canceled) {
		t.Error(err, outcomes)
	}
}
