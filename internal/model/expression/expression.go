package expression

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/ext"
)

const (
	// maxLength bounds the text of an expression, in bytes.
	maxLength = 64 << 10
	// maxCost bounds one evaluation, in CEL's units: about a tenth of a second. A look at a status with
	// a hundred conditions costs some thousand.
	maxCost = 200_000
	// checkEvery is how many steps of a comprehension pass between looks at the context.
	checkEvery = 100
)

// Options say what an expression may look at.
type Options struct {
	// Objects names variables that hold whole objects, such as "self". With them, the expression is
	// checked against these names and for being a yes-or-no question when it is compiled. Without,
	// every top-level field of the object that it is evaluated on is a variable, and what is wrong
	// shows in the evaluation only, because the fields of custom resources are anybody's guess.
	Objects []string
	// AnyResult lets the expression be something else than a yes-or-no question.
	AnyResult bool
	// Text says that the result is a text instead of yes or no. It goes with Objects.
	Text bool
}

// result is the type that a checked expression must have.
func (o Options) result() *cel.Type {
	if o.Text {
		return cel.StringType
	}
	return cel.BoolType
}

// Expression is a compiled expression. It is safe for concurrent use.
type Expression struct {
	text    string
	program cel.Program
}

// Compile parses an expression and, where its variables are given, checks it.
func Compile(text string, options Options) (*Expression, error) {
	if len(text) > maxLength {
		return nil, fmt.Errorf("CEL expression of %d bytes: the limit is %d", len(text), maxLength)
	}
	if !utf8.ValidString(text) {
		return nil, errors.New("CEL expression: it is not valid UTF-8")
	}
	env, err := cel.NewEnv(environment(options.Objects)...)
	if err != nil {
		return nil, fmt.Errorf("preparing the CEL environment: %w", err)
	}
	parse := env.Parse
	if len(options.Objects) > 0 {
		parse = env.Compile
	}
	ast, issues := parse(text)
	if issues.Err() != nil {
		return nil, fmt.Errorf("CEL expression '%s': %s", text, issues)
	}
	if want := options.result(); len(options.Objects) > 0 && !options.AnyResult && !ast.OutputType().IsExactType(want) {
		return nil, fmt.Errorf("CEL expression '%s': its result is of type %s, not %s", text, ast.OutputType(), want)
	}
	program, err := env.Program(ast, cel.EvalOptions(cel.OptOptimize), cel.InterruptCheckFrequency(checkEvery), cel.CostLimit(maxCost))
	if err != nil {
		return nil, fmt.Errorf("CEL expression '%s': %w", text, err)
	}
	return &Expression{text: text, program: program}, nil
}

// environment is Flux's (pkg/runtime/cel): the same functions and the same leniencies.
func environment(objects []string) []cel.EnvOption {
	env := []cel.EnvOption{
		cel.HomogeneousAggregateLiterals(),
		cel.EagerlyValidateDeclarations(true),
		cel.DefaultUTCTimeZone(true),
		cel.CrossTypeNumericComparisons(true),
		cel.OptionalTypes(),
		ext.Strings(),
		ext.Sets(),
		ext.Encoders(),
	}
	for _, name := range objects {
		env = append(env, cel.Variable(name, cel.ObjectType("google.protobuf.Struct")))
	}
	return env
}

// String returns the text of the expression.
func (e *Expression) String() string { return e.text }

// Bool evaluates the expression. An error means that it could not be decided: a field that it looks
// at is not there, the result is not a boolean, or the evaluation costs too much.
func (e *Expression) Bool(ctx context.Context, data map[string]any) (bool, error) {
	value, err := e.eval(ctx, data)
	if err != nil {
		return false, err
	}
	result, ok := value.(types.Bool)
	if !ok {
		return false, fmt.Errorf("evaluating CEL expression '%s': its result is of type %s, not bool", e.text, value.Type().TypeName())
	}
	return bool(result), nil
}

// Value evaluates the expression and returns whatever it comes to, for use in the data of another one.
func (e *Expression) Value(ctx context.Context, data map[string]any) (any, error) {
	return e.eval(ctx, data)
}

func (e *Expression) eval(ctx context.Context, data map[string]any) (ref.Val, error) {
	value, _, err := e.program.ContextEval(ctx, data)
	if err != nil {
		return nil, fmt.Errorf("evaluating CEL expression '%s': %w", e.text, err)
	}
	return value, nil
}

// Text evaluates an expression whose result is a text.
func (e *Expression) Text(ctx context.Context, data map[string]any) (string, error) {
	value, err := e.eval(ctx, data)
	if err != nil {
		return "", err
	}
	result, ok := value.(types.String)
	if !ok {
		return "", fmt.Errorf("evaluating CEL expression '%s': its result is of type %s, not string", e.text, value.Type().TypeName())
	}
	return string(result), nil
}
