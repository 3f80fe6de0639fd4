package client

import (
	"encoding/json"
	"regexp"
)

// schema is the part of JSON Schema that the contract needs.
type schema struct {
	Type                 json.RawMessage
	Required             []string
	Properties           json.RawMessage
	AdditionalProperties *bool
	AllOf                []struct{ If, Then *schema }
	Enum                 []string
	Const                string
	Pattern              string
	PatternErrorMessage  string
	MinLength            int
	MaxLength            int
	Format               string

	types      []string
	names      []string // of the properties, in their order
	properties map[string]*schema
	pattern    *regexp.Regexp
	closed     bool
}

func loadSchema() *schema {
	loaded := &schema{}
	if err := json.Unmarshal(schemaText, loaded); err != nil {
		panic(err) // it is compiled in, and tested
	}
	return loaded
}

func (made *schema) UnmarshalJSON(text []byte) error {
	type plain schema
	if err := json.Unmarshal(text, (*plain)(made)); err != nil {
		return err
	}
	var one string
	if json.Unmarshal(made.Type, &one) == nil && one != "" {
		made.types = []string{one}
	} else {
		_ = json.Unmarshal(made.Type, &made.types)
	}
	if len(made.Properties) > 0 {
		if err := json.Unmarshal(made.Properties, &made.properties); err != nil {
			return err
		}
		made.names = read(string(made.Properties)).(*object).names
	}
	if made.Const != "" {
		made.Enum = []string{made.Const}
	}
	if made.Pattern != "" {
		made.pattern = regexp.MustCompile(made.Pattern)
	}
	made.closed = made.AdditionalProperties != nil && !*made.AdditionalProperties
	return nil
}
