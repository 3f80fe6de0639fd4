package client

import (
	"fmt"
	"sort"
	"strings"
	"unicode"
)

const similar = 0.6 // how alike two words are that are taken for one another; of Python's difflib.get_close_matches

// printable is text for a terminal or a log: each control, invisible or direction-changing character as its escape.
func printable(text string) string {
	var made strings.Builder
	for _, each := range text {
		switch {
		case unicode.IsPrint(each):
			made.WriteRune(each)
		case each == '\t':
			made.WriteString(`\t`)
		case each == '\n':
			made.WriteString(`\n`)
		case each == '\r':
			made.WriteString(`\r`)
		case each < 0x100:
			fmt.Fprintf(&made, `\x%02x`, each)
		case each < 0x10000:
			fmt.Fprintf(&made, `\u%04x`, each)
		default:
			fmt.Fprintf(&made, `\U%08x`, each)
		}
	}
	return made.String()
}

// cut is text cut to limit characters, ending in an ellipsis; an emoji or an accented letter stays whole.
func cut(text string, limit int) string {
	all := []rune(text)
	if len(all) <= limit {
		return text
	}
	end := limit - 1
	for end > 0 && inside(all, end) {
		end--
	}
	if end == 0 {
		end = limit - 1
	}
	return strings.TrimRight(string(all[:end]), " ") + "…"
}

func inside(all []rune, end int) bool {
	before, after := all[end-1], all[end]
	if regional(before) && regional(after) { // a flag is two of them
		flags := 0
		for flags < end && regional(all[end-1-flags]) {
			flags++
		}
		return flags%2 == 1
	}
	joined := unicode.Is(unicode.M, after) || (after >= 0x1f3fb && after <= 0x1f3ff)
	return joined || after == 0x200c || after == 0x200d || before == 0x200d
}

func regional(character rune) bool {
	return character >= 0x1f1e6 && character <= 0x1f1ff
}

// didYouMean is a hint at the nearest of the known words, or nothing.
func didYouMean(word string, known []string) string {
	type rated struct {
		close float64
		word  string
	}
	var found []rated
	for _, each := range known {
		if close := ratio([]rune(each), []rune(word)); close >= similar {
			found = append(found, rated{close, each})
		}
	}
	if len(found) == 0 {
		return ""
	}
	sort.Slice(found, func(a, b int) bool {
		if found[a].close != found[b].close {
			return found[a].close > found[b].close
		}
		return found[a].word > found[b].word
	})
	return "; did you mean " + found[0].word + "?"
}

// ratio says how alike two words are, from 0 to 1, as Python's difflib.SequenceMatcher has it.
func ratio(a, b []rune) float64 {
	length := float64(len(a) + len(b))
	if length == 0 || 2*float64(min(len(a), len(b)))/length < similar { // a long name costs nothing
		return 0
	}
	return 2 * float64(matches(a, b)) / length
}

func matches(a, b []rune) int {
	size, atA, atB := 0, 0, 0
	for i := range a {
		for j := range b {
			run := 0
			for i+run < len(a) && j+run < len(b) && a[i+run] == b[j+run] {
				run++
			}
			if run > size {
				size, atA, atB = run, i, j
			}
		}
	}
	if size == 0 {
		return 0
	}
	return matches(a[:atA], b[:atB]) + size + matches(a[atA+size:], b[atB+size:])
}
