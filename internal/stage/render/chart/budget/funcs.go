package budget

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
	"sigs.k8s.io/yaml"
	goyaml "sigs.k8s.io/yaml/goyaml.v3"
)

// counted wraps a function of sprig's that makes text, by its signature; nil where it makes none.
func (m *Meter) counted(function any) any {
	switch f := function.(type) {
	case func(string) string:
		return func(a string) (string, error) { return m.text(f(a)) }
	case func(string, string) string:
		return func(a, b string) (string, error) { return m.text(f(a, b)) }
	case func(any) string:
		return func(a any) (string, error) {
			if err := m.weigh(a); err != nil {
				return "", err
			}
			return m.text(f(a))
		}
	case func(any) (string, error):
		return func(a any) (string, error) {
			if err := m.weigh(a); err != nil {
				return "", err
			}
			made, err := f(a)
			if err != nil {
				return made, err
			}
			return m.text(made)
		}
	case func(...any) string:
		return func(parts ...any) (string, error) {
			for _, part := range parts {
				if err := m.weigh(part); err != nil {
					return "", err
				}
			}
			return m.text(f(parts...))
		}
	default:
		return nil
	}
}

// printers are the functions that Go's templates have of their own.
func (m *Meter) printers(funcs template.FuncMap) {
	funcs["print"] = m.counted(fmt.Sprint)
	funcs["println"] = m.counted(fmt.Sprintln)
	funcs["html"] = m.counted(template.HTMLEscaper)
	funcs["js"] = m.counted(template.JSEscaper)
	funcs["urlquery"] = m.counted(template.URLQueryEscaper)
	funcs["printf"] = func(format string, parts ...any) (string, error) {
		for _, part := range parts {
			if err := m.weigh(part); err != nil {
				return "", err
			}
		}
		return m.text(fmt.Sprintf(format, parts...))
	}
}

// writers write values out as Helm's functions of the same names do.
func (m *Meter) writers(funcs template.FuncMap) {
	quiet := func(write func(any) ([]byte, error)) any {
		return m.counted(func(value any) string {
			made, err := write(value)
			if err != nil {
				return "" // as Helm does: what cannot be written is empty
			}
			return strings.TrimSuffix(string(made), "\n")
		})
	}
	loud := func(write func(any) ([]byte, error)) any {
		return m.counted(func(value any) (string, error) {
			made, err := write(value)
			return strings.TrimSuffix(string(made), "\n"), err
		})
	}
	pretty := func(value any) ([]byte, error) {
		var made bytes.Buffer
		encoder := goyaml.NewEncoder(&made)
		encoder.SetIndent(2)
		err := encoder.Encode(value)
		return made.Bytes(), err
	}
	funcs["toYaml"], funcs["mustToYaml"] = quiet(func(v any) ([]byte, error) { return yaml.Marshal(v) }), loud(func(v any) ([]byte, error) { return yaml.Marshal(v) })
	funcs["toYamlPretty"] = quiet(pretty)
	funcs["toJson"], funcs["mustToJson"] = quiet(json.Marshal), loud(json.Marshal)
}

// growers make much of little, so what they will make is counted before they do.
func (m *Meter) growers(funcs template.FuncMap) {
	known := sprig.TxtFuncMap()
	before := func(name string, size func(a int, s string) int64) {
		f, _ := known[name].(func(int, string) string)
		funcs[name] = func(a int, s string) (string, error) {
			if err := m.charge(size(a, s)); err != nil {
				return "", err
			}
			return f(max(0, a), s), nil
		}
	}
	before("repeat", func(count int, s string) int64 { return product(count, len(s)) })
	indented := func(count int, s string) int64 { return product(count, 1+strings.Count(s, "\n")) + int64(len(s)) }
	before("indent", indented)
	before("nindent", indented)
	for _, name := range []string{"randAlphaNum", "randAlpha", "randAscii", "randNumeric"} {
		f, _ := known[name].(func(int) string)
		funcs[name] = func(count int) (string, error) {
			if err := m.charge(product(count, 64)); err != nil {
				return "", err
			}
			return f(max(0, count)), nil
		}
	}
	m.replacers(funcs, known)
	m.counters(funcs, known)
}

func (m *Meter) replacers(funcs, known template.FuncMap) {
	funcs["replace"] = func(before, after, s string) (string, error) {
		if err := m.charge(product(strings.Count(s, before), len(after)) + int64(len(s))); err != nil {
			return "", err
		}
		return strings.ReplaceAll(s, before, after), nil
	}
	for _, name := range []string{"regexReplaceAll", "regexReplaceAllLiteral", "mustRegexReplaceAll", "mustRegexReplaceAllLiteral"} {
		replace := func(pattern, s, after string) (string, error) { return "", nil }
		switch f := known[name].(type) {
		case func(string, string, string) string:
			replace = func(pattern, s, after string) (string, error) { return f(pattern, s, after), nil }
		case func(string, string, string) (string, error):
			replace = f
		}
		funcs[name] = func(pattern, s, after string) (string, error) {
			// A replacement may name what was found, so it can be as long as all of that.
			grown := product(len(s)+1, len(after)+1) + product(strings.Count(after, "$"), len(s))
			if err := m.charge(grown); err != nil {
				return "", err
			}
			return replace(pattern, s, after)
		}
	}
	wrap, _ := known["wrapWith"].(func(int, string, string) string)
	funcs["wrapWith"] = func(width int, separator, s string) (string, error) {
		if err := m.charge(product(len(s)+1, len(separator)+1)); err != nil {
			return "", err
		}
		return wrap(width, separator, s), nil
	}
	join, _ := known["join"].(func(string, any) string)
	funcs["join"] = func(separator string, list any) (string, error) {
		if err := m.weigh(list); err != nil {
			return "", err
		}
		if held := reflect.ValueOf(list); held.Kind() == reflect.Slice || held.Kind() == reflect.Array {
			if err := m.charge(product(held.Len(), len(separator))); err != nil {
				return "", err
			}
		}
		return m.text(join(separator, list))
	}
}

func (m *Meter) counters(funcs, known template.FuncMap) {
	until, _ := known["until"].(func(int) []int)
	funcs["until"] = func(count int) ([]int, error) {
		if err := m.charge(product(count, 8)); err != nil {
			return nil, err
		}
		return until(count), nil
	}
	steps := func(start, stop, step int) error {
		if step == 0 {
			step = 1
		}
		span := int64(stop) - int64(start)
		return m.charge(product(int(max(span, -span)), 8) / max(1, int64(max(step, -step))))
	}
	untilStep, _ := known["untilStep"].(func(int, int, int) []int)
	funcs["untilStep"] = func(start, stop, step int) ([]int, error) {
		if err := steps(start, stop, step); err != nil {
			return nil, err
		}
		return untilStep(start, stop, step), nil
	}
	seq, _ := known["seq"].(func(...int) string)
	funcs["seq"] = func(params ...int) (string, error) {
		var err error
		switch len(params) {
		case 1:
			err = steps(1, params[0], 1)
		case 2:
			err = steps(params[0], params[1], 1)
		case 3:
			err = steps(params[0], params[2], params[1])
		}
		if err != nil {
			return "", err
		}
		return m.text(seq(params...))
	}
}

// product multiplies sizes. What is too large for a number is too large for anything.
func product(a, b int) int64 {
	const enough = 1 << 40
	if a <= 0 || b <= 0 {
		if a < 0 {
			return enough
		}
		return 0
	}
	if a > enough/b {
		return enough
	}
	return int64(a) * int64(b)
}
