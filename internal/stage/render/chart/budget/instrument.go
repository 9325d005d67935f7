package budget

import (
	"regexp"
	"strconv"
	"strings"
)

// The functions that Instrument puts into templates.
const (
	tick  = "holdfast_tick"
	guard = "holdfast_guard"
)

// action is one {{ … }} of a template.
type action struct {
	from, to int    // with the braces
	inside   string // without braces and trim marks
	trims    bool   // it ends with " -}}"
	word     string // its first word
}

// Instrument returns a template that does the same and counts. What it cannot read it leaves alone:
// the template's own parser will say what is wrong with it. Lines stay where they are.
func Instrument(text string) string {
	if !strings.Contains(text, "{{") {
		return text
	}
	actions := actionsOf(text)
	sizes := bodies(actions)
	var out strings.Builder
	out.Grow(len(text) + 32*len(actions))
	at := 0
	for i, one := range actions {
		out.WriteString(text[at:one.from])
		out.WriteString(guarded(text[one.from:one.to]))
		at = one.to
		if size, counted := sizes[i]; counted {
			out.WriteString("{{" + tick + " " + strconv.Itoa(size))
			if one.trims {
				out.WriteString(" -")
			}
			out.WriteString("}}")
		}
	}
	out.WriteString(text[at:])
	return out.String()
}

// bodies returns how long the bodies are that may run often: those of loops and of named templates.
func bodies(actions []action) map[int]int {
	sizes := map[int]int{}
	var open []int
	for i, one := range actions {
		switch one.word {
		case "range", "define", "block":
			sizes[i] = 0
			open = append(open, i)
		case "if", "with":
			open = append(open, i)
		case "end":
			if len(open) == 0 {
				continue
			}
			start := open[len(open)-1]
			open = open[:len(open)-1]
			if _, counted := sizes[start]; counted {
				sizes[start] = one.from - actions[start].to
			}
		}
	}
	return sizes
}

// actionsOf finds the actions of a template that are no comments.
func actionsOf(text string) []action {
	var found []action
	for at := 0; ; {
		from := strings.Index(text[at:], "{{")
		if from < 0 {
			return found
		}
		from += at
		body := from + 2
		if strings.HasPrefix(text[body:], "- ") || strings.HasPrefix(text[body:], "-\n") || strings.HasPrefix(text[body:], "-\t") {
			body += 2
		}
		if comment := strings.TrimLeft(text[body:], " \t\r\n"); strings.HasPrefix(comment, "/*") {
			end := strings.Index(comment, "*/")
			if end < 0 {
				return found
			}
			at = len(text) - len(comment) + end + 2
			continue
		}
		end := endOf(text, body)
		if end < 0 {
			return found
		}
		inside := text[body:end]
		trimmed, trims := strings.CutSuffix(inside, "-")
		trims = trims && strings.TrimRight(trimmed, " \t\r\n") != trimmed
		if trims {
			inside = trimmed
		}
		inside = strings.TrimSpace(inside)
		word, _, _ := strings.Cut(inside, " ")
		word, _, _ = strings.Cut(word, "\n")
		found = append(found, action{from: from, to: end + 2, inside: inside, trims: trims, word: word})
		at = end + 2
	}
}

// endOf returns where the closing braces of an action begin, past quoted text, or -1.
func endOf(text string, at int) int {
	for at < len(text) {
		switch text[at] {
		case '"', '\'', '`':
			at = pastQuoted(text, at)
			if at < 0 {
				return -1
			}
		case '}':
			if strings.HasPrefix(text[at:], "}}") {
				return at
			}
			at++
		default:
			at++
		}
	}
	return -1
}

// pastQuoted returns what follows the quoted text that begins at a place, or -1.
func pastQuoted(text string, at int) int {
	quote := text[at]
	for i := at + 1; i < len(text); i++ {
		switch {
		case text[i] == '\\' && quote != '`':
			i++
		case text[i] == quote:
			return i + 1
		}
	}
	return -1
}

// guarded wraps what tpl is asked to parse, so that it is instrumented, too.
func guarded(text string) string {
	if !strings.Contains(text, "tpl") {
		return text
	}
	var out strings.Builder
	for at := 0; at < len(text); {
		switch c := text[at]; {
		case c == '"' || c == '\'' || c == '`':
			end := pastQuoted(text, at)
			if end < 0 {
				out.WriteString(text[at:])
				return out.String()
			}
			out.WriteString(text[at:end])
			at = end
		case strings.HasPrefix(text[at:], "tpl") && alone(text, at, at+3):
			out.WriteString("tpl")
			at += 3
			start := at + len(text[at:]) - len(strings.TrimLeft(text[at:], " \t\r\n"))
			end := operandEnd(text, start)
			out.WriteString(text[at:start])
			if end > start {
				out.WriteString("(" + guard + " " + guarded(text[start:end]) + ")")
			}
			at = max(end, start)
		default:
			out.WriteByte(c)
			at++
		}
	}
	return out.String()
}

// alone tells whether a word stands by itself.
func alone(text string, from, to int) bool {
	letter := func(c byte) bool {
		return c == '_' || c == '.' || c == '$' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
	}
	return (from == 0 || !letter(text[from-1])) && (to >= len(text) || !letter(text[to]))
}

// operandEnd returns where the operand that begins at a place ends.
func operandEnd(text string, at int) int {
	depth := 0
	for at < len(text) {
		switch c := text[at]; {
		case c == '"' || c == '\'' || c == '`':
			end := pastQuoted(text, at)
			if end < 0 {
				return len(text)
			}
			at = end
			continue
		case c == '(':
			depth++
		case c == ')':
			if depth == 0 {
				return at
			}
			depth--
		case depth == 0 && (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '|' || strings.HasPrefix(text[at:], "}}")):
			return at
		}
		at++
	}
	return at
}

var (
	inserts = regexp.MustCompile(`\{\{` + tick + ` \d+( -)?\}\}`)
	guards  = regexp.MustCompile(`\(` + guard + ` ([^()]*)\)`)
	ticks   = regexp.MustCompile(`(: executing "[^"]*")? at <` + tick + ` \d+>: error calling ` + tick)
)

// Readable takes what Instrument added out of an error's text.
func Readable(err error) error {
	text := err.Error()
	plain := guards.ReplaceAllString(inserts.ReplaceAllString(text, ""), "$1")
	plain = strings.ReplaceAll(ticks.ReplaceAllString(plain, ""), guard+" ", "")
	if plain == text {
		return err
	}
	return &readable{plain, err}
}

type readable struct {
	text string
	err  error
}

func (r *readable) Error() string { return r.text }
func (r *readable) Unwrap() error { return r.err }
