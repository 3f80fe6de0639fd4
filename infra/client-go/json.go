package client

import (
	"encoding/json"
	"regexp"
	"strings"
	"unicode/utf16"
)

// A text is read so that nothing of it is lost: numbers as they were written, members in their order, also twice. Its
// value is nil, a bool, a string, a numeral, a list or an *object.
type (
	numeral string
	list    []any
	object  struct {
		names  []string // in their order, each once
		values map[string]any
		twice  []string
		broken bool // a name of it is
	}
	// broken is a text with a lone surrogate, which UTF-8 cannot encode.
	broken string
)

var (
	wholeNumber = regexp.MustCompile(`^-?[0-9]+$`)
	texts       = regexp.MustCompile(`(?s)"(?:[^"\\]|\\.)*(?:"|$)`)
	escape      = regexp.MustCompile(`\\(?:u([0-9a-fA-F]{4})|.)`)
)

func (number numeral) whole() bool {
	return wholeNumber.MatchString(string(number))
}

// deeperThan says whether more than limit arrays and objects of text are inside one another; it need not be valid.
func deeperThan(text string, limit int) bool {
	level := 0
	for _, each := range texts.ReplaceAllString(text, "") {
		switch each {
		case '[', '{':
			level++
		case ']', '}':
			level--
		}
		if level > limit {
			return true
		}
	}
	return false
}

// read is the value of text, which is valid JSON and not deep.
func read(text string) any {
	reader := reader{text: text}
	return reader.value()
}

type reader struct {
	text string
	at   int
}

func (r *reader) value() any {
	switch first := r.next(); first {
	case '{':
		return r.object()
	case '[':
		return r.list()
	case '"':
		return r.string()
	case 't', 'n':
		r.at += 4
		if first == 'n' {
			return nil
		}
		return true
	case 'f':
		r.at += 5
		return false
	}
	begin := r.at
	for r.at < len(r.text) && strings.IndexByte("+-.0123456789eE", r.text[r.at]) >= 0 {
		r.at++
	}
	return numeral(r.text[begin:r.at])
}

func (r *reader) object() *object {
	made := &object{values: map[string]any{}}
	r.at++
	for r.next() != '}' {
		if r.next() == ',' {
			r.at++
			r.next()
		}
		name, whole := r.string().(string)
		made.broken = made.broken || !whole
		r.next()
		r.at++ // the colon
		value := r.value()
		if _, known := made.values[name]; known {
			made.twice = append(made.twice, name)
		} else {
			made.names = append(made.names, name)
		}
		made.values[name] = value
	}
	r.at++
	return made
}

func (r *reader) list() list {
	made := list{}
	r.at++
	for r.next() != ']' {
		if r.next() == ',' {
			r.at++
		}
		made = append(made, r.value())
	}
	r.at++
	return made
}

func (r *reader) string() any {
	begin := r.at
	for r.at++; r.text[r.at] != '"'; r.at++ {
		if r.text[r.at] == '\\' {
			r.at++
		}
	}
	r.at++
	written := r.text[begin:r.at]
	var made string
	if err := json.Unmarshal([]byte(written), &made); err != nil || hasLoneSurrogate(written) {
		return broken(written)
	}
	return made
}

// next skips what is blank; the byte after it.
func (r *reader) next() byte {
	for strings.IndexByte(" \t\n\r", r.text[r.at]) >= 0 {
		r.at++
	}
	return r.text[r.at]
}

// hasLoneSurrogate looks at the escapes of a text as it was written, in which alone a surrogate can stand.
func hasLoneSurrogate(written string) bool {
	high, end := rune(0), -1
	for _, found := range escape.FindAllStringSubmatchIndex(written, -1) {
		code := rune(0)
		if found[2] >= 0 {
			code = hex(written[found[2]:found[3]])
		}
		if high != 0 {
			if found[0] != end || utf16.DecodeRune(high, code) == '\ufffd' {
				return true
			}
			high = 0
		} else if utf16.IsSurrogate(code) {
			if code >= 0xdc00 {
				return true
			}
			high = code
		}
		end = found[1]
	}
	return high != 0
}

func hex(digits string) rune {
	code := rune(0)
	for _, each := range strings.ToLower(digits) {
		code = code<<4 + rune(strings.IndexRune("0123456789abcdef", each))
	}
	return code
}

// write is a value as Python's json.dumps writes it.
func write(value any) string {
	switch given := value.(type) {
	case numeral:
		return string(given)
	case *object:
		members := make([]string, 0, len(given.names))
		for _, name := range given.names {
			members = append(members, quoted(name)+": "+write(given.values[name]))
		}
		return "{" + strings.Join(members, ", ") + "}"
	case list:
		elements := make([]string, 0, len(given))
		for _, each := range given {
			elements = append(elements, write(each))
		}
		return "[" + strings.Join(elements, ", ") + "]"
	case string:
		return quoted(given)
	case bool:
		if given {
			return "true"
		}
		return "false"
	}
	return "null"
}

func quoted(text string) string {
	var made strings.Builder
	encoder := json.NewEncoder(&made)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // of a string it cannot fail
	return strings.TrimSuffix(made.String(), "\n")
}
