package variable

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	gojmespath "github.com/kyverno/go-jmespath"
	"github.com/kyverno/kyverno/pkg/config"
	"github.com/kyverno/kyverno/pkg/engine/jmespath"
)

// What a rule may use up. Kyverno bounds the size of a rule's context in the same way.
const (
	maxQuery   = 16 << 10 // bytes of an expression
	maxSize    = 2 << 20  // bytes of a value, roughly
	maxProduct = 1 << 26  // of the lengths of the texts that one function is given
)

var errSize = errors.New("it makes a value of more than 2 MiB")

// Language is JMESPath with Kyverno's functions, each of them guarded. It is safe for concurrent use.
type Language struct {
	functions []gojmespath.FunctionEntry
}

// NewLanguage returns the language.
func NewLanguage() *Language {
	l := &Language{}
	for _, entry := range jmespath.GetFunctions(config.NewDefaultConfiguration(true)) {
		l.functions = append(l.functions, entry.FunctionEntry)
	}
	l.functions = append(l.functions, gojmespath.FunctionEntry{
		Name: "to_string", Arguments: []gojmespath.ArgSpec{{Types: []gojmespath.JpType{gojmespath.JpAny}}}, Handler: toString,
	})
	return l
}

// caller returns the functions for one evaluation, which ends with ctx.
func (l *Language) caller(ctx context.Context) *gojmespath.FunctionCaller {
	caller := gojmespath.NewFunctionCaller()
	for _, entry := range l.functions {
		entry.Handler = guarded(ctx, entry.Name, entry.Handler)
		caller.Register(entry)
	}
	return caller
}

// guarded looks at the arguments and the result of a function, and at the clock.
func guarded(ctx context.Context, name string, handler gojmespath.JpFunction) gojmespath.JpFunction {
	if name == "random" {
		return func([]any) (any, error) {
			return nil, errors.New("the function random is refused: a delivery has to come out the same every time")
		}
	}
	return func(arguments []any) (any, error) {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("calling %s: %w", name, context.Cause(ctx))
		}
		product := 1
		for _, argument := range arguments {
			if text, ok := argument.(string); ok {
				product *= max(1, len(text))
			}
			if err := bounded(argument); err != nil || product > maxProduct {
				return nil, fmt.Errorf("calling %s: %w", name, errSize)
			}
		}
		result, err := handler(arguments)
		if err == nil {
			err = bounded(result)
		}
		return result, err
	}
}

// toString is JMESPath's own, for values that are known to be small.
func toString(arguments []any) (any, error) {
	if len(arguments) != 1 {
		return nil, errors.New("to_string takes one argument")
	}
	if text, ok := arguments[0].(string); ok {
		return text, nil
	}
	raw, err := json.Marshal(arguments[0])
	return string(raw), err
}

// bounded fails for a value that is too large when it is written out. A small expression can make a value
// that refers to itself many times over; such a value costs nothing until it is written.
func bounded(value any) error {
	budget := maxSize
	if !spend(value, &budget) {
		return errSize
	}
	return nil
}

func spend(value any, budget *int) bool {
	switch typed := value.(type) {
	case string:
		*budget -= len(typed) + 2
	case map[string]any:
		for key, field := range typed {
			if *budget -= len(key) + 4; *budget < 0 || !spend(field, budget) {
				return false
			}
		}
	case []any:
		for _, field := range typed {
			if *budget -= 2; *budget < 0 || !spend(field, budget) {
				return false
			}
		}
	default:
		*budget -= 8
	}
	return *budget >= 0
}

// Deadline bounds how long the rules of one policy may take for one object.
const Deadline = 2 * time.Second
