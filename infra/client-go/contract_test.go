package client

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
)

func told(event any) []string {
	found := []string{}
	for _, fault := range Check(event) {
		found = append(found, fault.String())
	}
	return found
}

// The events that the clients for Python and JavaScript are held to as well.
func TestEventsAreJudgedAsTheClientForPythonJudgesThem(t *testing.T) {
	text, err := os.ReadFile(os.Getenv("CONTRACT_EVENTS"))
	if err != nil {
		t.Fatal(err)
	}
	var table []struct {
		Name   string
		Event  json.RawMessage
		Text   string
		Faults []string
	}
	if err := json.Unmarshal(text, &table); err != nil || len(table) < 40 {
		t.Fatal(len(table), err)
	}
	for _, entry := range table {
		given := entry.Text
		if given == "" {
			given = string(entry.Event)
		}
		if found := told(given); !slices.Equal(found, entry.Faults) {
			t.Errorf("%s:\n%q\nis not\n%q", entry.Name, found, entry.Faults)
		}
	}
}

func TestWhatCannotBeReadHasOneFault(t *testing.T) {
	for _, text := range []string{"", "{", "NaN", `{"a": 1,}`, "'a'", `"\ud800"`, "\"\xff\"", strings.Repeat("x", 300_000)} {
		if found := told(text); len(found) != 1 {
			t.Errorf("%.20q: %q", text, found)
		}
	}
	if found := told("{"); !strings.HasPrefix(found[0], "body: is not JSON: ") {
		t.Error(found)
	}
	if found := told(strings.Repeat("x", 300_000)); found[0] != "body: has 300000 bytes; at most 262144 are allowed" {
		t.Error(found)
	}
}

func TestAValueThatJSONDoesNotKnowIsNamed(t *testing.T) {
	found := told(map[string]any{"data": map[string]any{"n": math.NaN()}})
	if len(found) != 1 || !strings.HasPrefix(found[0], "body: cannot be written as JSON: ") {
		t.Error(found)
	}
}

func TestPairsOfSurrogatesAreCharactersAndLoneOnesAreNot(t *testing.T) {
	event := func(text string) string {
		return `{"event_id": "e", "type": "created", "organization_id": "o", "issue": {"id": 1, "t": "` + text + `"}}`
	}
	for _, text := range []string{`\ud83d\ude00`, `\\ud800`, `\u0041\ud83d\ude00x`} {
		if found := told(event(text)); len(found) != 0 {
			t.Error(text, found)
		}
	}
	for _, text := range []string{`\ud800`, `\ude00`, `\ud83dx\ude00`, `\ud83d\n\ude00`, `\ud83d\ud83d\ude00`, `\uD83D`} {
		if found := told(event(text)); len(found) != 1 || !strings.Contains(found[0], "issue: has a character that UTF-8") {
			t.Error(text, found)
		}
	}
}

func TestAnEventMayBeAStruct(t *testing.T) {
	type issue struct {
		ID    int    `json:"id"`
		Title string `json:"title"`
	}
	event := struct {
		EventID      string `json:"event_id"`
		Type         string `json:"type"`
		Organization string `json:"organization_id"`
		Issue        issue  `json:"issue"`
	}{"a b", "created", "acme", issue{1, "a < b"}}
	if found := told(event); !slices.Equal(found, []string{
		`event_id: is "a b", which is no event id; use 1 to 64 of A-Z, a-z, 0-9, - and _`,
	}) {
		t.Error(found)
	}
}
