// Package client is for programs that publish issue events to Bellhop: check an event, and send many.
package client

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

const (
	maxEventBytes    = 262_144
	maxDepth         = 64  // arrays and objects inside one another
	maxIntegerDigits = 308 // a longer integer is beyond a double
	shownCharacters  = 60  // of a value in a message
	body             = "body"
)

//go:embed issue-event.json
var schemaText []byte

var contract = sync.OnceValue(loadSchema)

// The day must exist in its month, and 29 February only in a leap year.
var dateTime = regexp.MustCompile(
	`^(?:\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|02-(?:0[1-9]|1\d|2[0-8]))` +
		`|(?:\d\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)` +
		`[tT](?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?(?:[+-](?:[01]\d|2[0-3]):?[0-5]\d|[zZ])$`,
)

var typeWords = map[string]string{
	"string": "a text", "integer": "a whole number", "object": "an object ({...})", "null": "null",
}

var missing = map[string]string{
	"event_id":        "add an id that is unique within the organisation",
	"organization_id": "add the id of the organisation whose apps get it",
	"type":            "add what happened, such as created",
	"issue":           "add the issue, with its id",
}

// Fault is what is wrong with one field: the Rule that it breaks, with what to do. Value is what is there now, as JSON;
// empty where nothing is.
type Fault struct {
	Field string
	Rule  string
	Value string
}

// Reason is what goes on after the field's name, with its value.
func (fault Fault) Reason() string {
	if fault.Value == "" {
		return fault.Rule
	}
	return "is " + fault.Value + ", which " + fault.Rule
}

func (fault Fault) String() string {
	return fault.Field + ": " + fault.Reason()
}

// Check is everything that is wrong with an event; nothing for a valid one. A string, a []byte or a json.RawMessage is
// the event's JSON; anything else is marshalled.
func Check(event any) []Fault {
	text, fault := encode(event)
	if fault != nil {
		return []Fault{*fault}
	}
	document, fault := decode(text)
	if fault != nil {
		return []Fault{*fault}
	}
	whole, isObject := document.(*object)
	if !isObject {
		return []Fault{{body, "is not an object; write each event as {...}", shown(document)}}
	}
	var found []Fault
	known := map[string]bool{}
	for _, fault := range append(repeated(whole), faults(whole, contract(), "")...) {
		if !known[fault.Field] { // further ones of a field follow from its first
			known[fault.Field] = true
			found = append(found, fault)
		}
	}
	return found
}

// encode is the event as JSON, which is the body of its queue message.
func encode(event any) (string, *Fault) {
	switch given := event.(type) {
	case string:
		return given, nil
	case []byte:
		return string(given), nil
	case json.RawMessage:
		return string(given), nil
	}
	var made strings.Builder
	encoder := json.NewEncoder(&made)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(event); err != nil {
		return "", &Fault{Field: body, Rule: "cannot be written as JSON: " + cut(printable(err.Error()), shownCharacters)}
	}
	return strings.TrimSuffix(made.String(), "\n"), nil
}

func decode(text string) (any, *Fault) {
	if len(text) > maxEventBytes {
		return nil, &Fault{Field: body, Rule: fmt.Sprintf("has %d bytes; at most %d are allowed", len(text), maxEventBytes)}
	}
	if deeperThan(text, maxDepth) {
		rule := fmt.Sprintf("is nested more than %d deep; the schema needs only a few levels", maxDepth)
		return nil, &Fault{Field: body, Rule: rule}
	}
	if err := readable(text); err != nil {
		return nil, &Fault{Field: body, Rule: "is not JSON: " + err.Error()}
	}
	document := read(text)
	if err := checkNumbers(document); err != nil {
		return nil, &Fault{Field: body, Rule: "is not JSON: " + err.Error()}
	}
	if field := unencodable(document); field != "" {
		return nil, &Fault{Field: field, Rule: "has a character that UTF-8 cannot encode (a lone surrogate)"}
	}
	return document, nil
}

func readable(text string) error {
	if !utf8.ValidString(text) {
		return errors.New("it is not UTF-8")
	}
	var ignored json.RawMessage
	return json.Unmarshal([]byte(text), &ignored)
}

func checkNumbers(value any) error {
	number, isNumber := value.(numeral)
	if !isNumber {
		for _, each := range inner(value) {
			if err := checkNumbers(each); err != nil {
				return err
			}
		}
		return nil
	}
	if digits := len(strings.TrimPrefix(string(number), "-")); number.whole() && digits > maxIntegerDigits {
		return fmt.Errorf("an integer has %d digits; receivers can read %d at most", len(number), maxIntegerDigits)
	}
	if parsed, _ := strconv.ParseFloat(string(number), 64); math.IsInf(parsed, 0) {
		start := number[:min(len(number), 64)]
		return fmt.Errorf("%s is beyond the numbers that receivers can read (IEEE 754 doubles)", start)
	}
	return nil
}

// unencodable is the field at whose value UTF-8 fails, empty for none.
func unencodable(document any) string {
	if whole, isObject := document.(*object); isObject {
		for _, name := range whole.names {
			if hasBroken(whole.values[name]) {
				return printable(name)
			}
		}
		if whole.broken {
			return body
		}
		return ""
	}
	if hasBroken(document) {
		return body
	}
	return ""
}

func hasBroken(value any) bool {
	if _, isBroken := value.(broken); isBroken {
		return true
	}
	if found, isObject := value.(*object); isObject && found.broken {
		return true
	}
	return slices.ContainsFunc(inner(value), hasBroken)
}

func inner(value any) []any {
	switch given := value.(type) {
	case list:
		return given
	case *object:
		values := make([]any, 0, len(given.names))
		for _, name := range given.names {
			values = append(values, given.values[name])
		}
		return values
	}
	return nil
}

func repeated(document *object) []Fault {
	var found []Fault
	for _, name := range document.twice {
		found = append(found, twice(name))
	}
	for _, path := range []string{"user", "issue", "data"} {
		if within, isObject := document.values[path].(*object); isObject {
			for _, name := range within.twice {
				found = append(found, twice(path+"."+name))
			}
		}
	}
	return found
}

func twice(field string) Fault {
	return Fault{Field: bounded(field), Rule: "is there twice; write it once"}
}

func faults(value any, schema *schema, path string) []Fault {
	if types := schema.types; len(types) > 0 && !slices.Contains(types, typeOf(value)) {
		words := make([]string, 0, len(types))
		for _, name := range types {
			words = append(words, typeWords[name])
		}
		rule := "is not " + strings.Join(words, " or ")
		if _, isNumber := value.(numeral); isNumber && slices.Contains(types, "string") {
			rule += "; write it in quotes"
		}
		return []Fault{{orBody(path), rule, shown(value)}}
	}
	if found, isObject := value.(*object); isObject {
		return objectFaults(found, schema, path)
	}
	return valueFaults(value, schema, path)
}

func objectFaults(value *object, schema *schema, path string) []Fault {
	var found []Fault
	for _, name := range schema.Required {
		if _, there := value.values[name]; !there {
			rule, known := missing[name]
			if !known {
				rule = "add it"
			}
			found = append(found, Fault{Field: within(path, name), Rule: "is missing; " + rule})
		}
	}
	for _, name := range value.names {
		if inner, known := schema.properties[name]; known {
			found = append(found, faults(value.values[name], inner, within(path, name))...)
		} else if schema.closed {
			found = append(found, Fault{Field: bounded(within(path, name)), Rule: unknown(name, value, schema)})
		}
	}
	for _, rule := range schema.AllOf {
		if len(faults(value, rule.If, path)) == 0 {
			found = append(found, faults(value, rule.Then, path)...)
		}
	}
	return found
}

func unknown(name string, value *object, schema *schema) string {
	var absent []string
	for _, each := range schema.names {
		if _, there := value.values[each]; !there {
			absent = append(absent, each)
		}
	}
	hint := didYouMean(name, absent)
	if hint == "" {
		hint = "; further fields go into `data`"
	}
	return "is not known; known are " + strings.Join(schema.names, ", ") + hint
}

func valueFaults(value any, schema *schema, path string) []Fault {
	var found []Fault
	text, isText := value.(string)
	if options := schema.Enum; len(options) > 0 && !(isText && slices.Contains(options, text)) {
		hint := ""
		if isText {
			hint = didYouMean(text, options)
		}
		found = append(found, Fault{path, "is none of " + strings.Join(options, ", ") + hint, shown(value)})
	}
	if rule := textFault(text, schema); isText && rule != "" {
		found = append(found, Fault{path, rule, shown(value)})
	}
	return found
}

func textFault(text string, schema *schema) string {
	length := utf8.RuneCountInString(text)
	switch {
	case schema.pattern != nil && !schema.pattern.MatchString(text):
		return schema.PatternErrorMessage
	case schema.MaxLength > 0 && (length < schema.MinLength || length > schema.MaxLength):
		return fmt.Sprintf("has %d characters; use %d to %d", length, schema.MinLength, schema.MaxLength)
	case schema.Format == "date-time" && !dateTime.MatchString(text):
		return "is no time with a time zone; write it as 2026-11-23T12:00:00Z"
	}
	return ""
}

func typeOf(value any) string {
	switch given := value.(type) {
	case nil:
		return "null"
	case string:
		return "string"
	case *object:
		return "object"
	case numeral:
		if given.whole() {
			return "integer"
		}
	}
	return ""
}

func within(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func orBody(field string) string {
	if field == "" {
		return body
	}
	return field
}

func bounded(field string) string {
	return orBody(cut(printable(field), shownCharacters))
}

// shown is a value as it is written in JSON, bounded, without what a terminal would obey.
func shown(value any) string {
	return cut(printable(write(value)), shownCharacters)
}
