package budget

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/metrics"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/Masterminds/sprig/v3"
)

// Limits bound one render. The zero value of a field means its default.
type Limits struct {
	// Bytes is how much text may be made on the way; 512 MiB.
	Bytes int64
	// Heap is by how much the memory of the process may grow meanwhile; 1 GiB.
	Heap uint64
	// Items is how many values may be put into each other; 4,000,000.
	Items int64
}

const (
	defaultBytes = 512 << 20
	defaultHeap  = 1 << 30
	defaultItems = 4_000_000
	maxDepth     = 200
	heapMetric   = "/memory/classes/heap/objects:bytes"
	heapEvery    = 20 * time.Millisecond
	looksEvery   = 256
	perTick      = 16 // what a turn of a loop costs besides the text in it
)

// ErrSpent is in the error of a template that took more than it may.
var ErrSpent = errors.New("the chart's templates take more than a render may")

// Meter counts what one render does. It is used by one goroutine.
type Meter struct {
	ctx     context.Context //nolint:containedctx // templates call functions that take no context
	limits  Limits
	bytes   int64
	ticks   int64
	looked  time.Time
	heap    uint64
	sample  []metrics.Sample
	weights map[uintptr]int64
	guarded map[string]string
}

// New returns a meter that also ends when the context does.
func New(ctx context.Context, limits Limits) *Meter {
	if limits.Bytes <= 0 {
		limits.Bytes = defaultBytes
	}
	if limits.Heap == 0 {
		limits.Heap = defaultHeap
	}
	if limits.Items <= 0 {
		limits.Items = defaultItems
	}
	m := &Meter{
		ctx: ctx, limits: limits, looked: time.Now(), sample: []metrics.Sample{{Name: heapMetric}},
		weights: map[uintptr]int64{}, guarded: map[string]string{},
	}
	m.heap = m.heapNow()
	return m
}

func (m *Meter) heapNow() uint64 {
	metrics.Read(m.sample)
	if m.sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return m.sample[0].Value.Uint64()
}

// tick is called at the start of each loop's and each named template's body.
func (m *Meter) tick(size int) (string, error) {
	m.ticks++
	if err := m.charge(int64(size) + perTick); err != nil {
		return "", err
	}
	if m.ticks%looksEvery != 0 {
		return "", nil
	}
	return "", m.look()
}

// look asks whether there is still time and memory.
func (m *Meter) look() error {
	if err := m.ctx.Err(); err != nil {
		return err
	}
	now := time.Now()
	if now.Sub(m.looked) < heapEvery {
		return nil
	}
	m.looked = now
	if heap := m.heapNow(); heap > m.heap+m.limits.Heap {
		return fmt.Errorf("%w: memory grew by more than %d MiB meanwhile", ErrSpent, m.limits.Heap>>20)
	}
	return nil
}

// charge counts text that is about to be made, or was.
func (m *Meter) charge(size int64) error {
	m.bytes += size
	if size < 0 || m.bytes > m.limits.Bytes {
		return fmt.Errorf("%w: they make more than %d MiB of text", ErrSpent, m.limits.Bytes>>20)
	}
	return nil
}

// text charges a result.
func (m *Meter) text(result string) (string, error) {
	if err := m.charge(int64(len(result))); err != nil {
		return "", err
	}
	return result, m.ctxErr(len(result))
}

// ctxErr asks for the context where a result is large, so that a straight line of such calls ends, too.
func (m *Meter) ctxErr(size int) error {
	if size < 1<<16 {
		return nil
	}
	return m.look()
}

// guard instruments what tpl is given.
func (m *Meter) guard(value any) (any, error) {
	text, isText := value.(string)
	if !isText || !strings.Contains(text, "{{") {
		return value, nil
	}
	if err := m.charge(int64(len(text))); err != nil {
		return nil, err
	}
	known, found := m.guarded[text]
	if !found {
		known = Instrument(text)
		m.guarded[text] = known
	}
	return known, nil
}

// weigh walks through a value that is about to be written out, and refuses one that is too large or
// contains itself.
func (m *Meter) weigh(value any) error {
	left := m.limits.Items
	if !walk(reflect.ValueOf(value), 0, &left) {
		return fmt.Errorf("%w: a value is too large, is nested too deeply, or contains itself", ErrSpent)
	}
	return m.charge((m.limits.Items - left) * 2)
}

func walk(value reflect.Value, depth int, left *int64) bool {
	if *left--; *left < 0 || depth > maxDepth {
		return false
	}
	switch value.Kind() { //nolint:exhaustive // the rest holds nothing
	case reflect.Interface, reflect.Pointer:
		return value.IsNil() || walk(value.Elem(), depth+1, left)
	case reflect.Map:
		for entries := value.MapRange(); entries.Next(); {
			if !walk(entries.Value(), depth+1, left) {
				return false
			}
		}
	case reflect.Slice, reflect.Array:
		if value.Type().Elem().Kind() == reflect.Uint8 {
			*left -= int64(value.Len()) / 16
			return true
		}
		for i := range value.Len() {
			if !walk(value.Index(i), depth+1, left) {
				return false
			}
		}
	case reflect.String:
		*left -= int64(value.Len()) / 16
	}
	return true
}

// contain remembers how much a new list or dictionary holds. What the templates did not make counts as one:
// it was bounded when it was read.
func (m *Meter) contain(made any, parts ...any) error {
	total := int64(1)
	for _, part := range parts {
		total += m.weightOf(part, true)
	}
	if total > m.limits.Items {
		return fmt.Errorf("%w: values that contain each other grow too large", ErrSpent)
	}
	if at := address(made); at != 0 {
		m.weights[at] = max(m.weights[at], total)
	}
	return nil
}

// weightOf looks into a value, one level deep, where it is not known.
func (m *Meter) weightOf(value any, look bool) int64 {
	if known, found := m.weights[address(value)]; found && known > 0 {
		return known
	}
	total := int64(1)
	if !look {
		return total
	}
	v := reflect.ValueOf(value)
	switch v.Kind() { //nolint:exhaustive // the rest contains nothing
	case reflect.Map:
		for entries := v.MapRange(); entries.Next(); {
			total += m.weightOf(entries.Value().Interface(), false)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Interface {
			return total
		}
		for i := range v.Len() {
			total += m.weightOf(v.Index(i).Interface(), false)
		}
	}
	return total
}

func address(value any) uintptr {
	v := reflect.ValueOf(value)
	switch v.Kind() { //nolint:exhaustive // the rest contains nothing
	case reflect.Map, reflect.Slice, reflect.Pointer:
		return v.Pointer()
	default:
		return 0
	}
}

// within tells whether a value is, or contains, a dictionary. It says so, too, where that takes too long.
func within(value reflect.Value, holder uintptr, depth int, left *int64) bool {
	if *left--; *left < 0 || depth > maxDepth {
		return true
	}
	switch value.Kind() { //nolint:exhaustive // the rest contains nothing
	case reflect.Interface, reflect.Pointer:
		return !value.IsNil() && within(value.Elem(), holder, depth+1, left)
	case reflect.Map:
		if value.Pointer() == holder {
			return true
		}
		for entries := value.MapRange(); entries.Next(); {
			if within(entries.Value(), holder, depth+1, left) {
				return true
			}
		}
	case reflect.Slice, reflect.Array:
		if kind := value.Type().Elem().Kind(); kind != reflect.Interface && kind != reflect.Map && kind != reflect.Slice {
			return false
		}
		for i := range value.Len() {
			if within(value.Index(i), holder, depth+1, left) {
				return true
			}
		}
	}
	return false
}

// withheld are functions of sprig's that Helm takes away from charts, because they look at our environment and
// at our network. What is not in Funcs stays as Helm has it.
var withheld = []string{"env", "expandenv", "getHostByName"}

// Funcs returns the functions that go with instrumented templates.
func (m *Meter) Funcs() template.FuncMap {
	funcs := template.FuncMap{tick: m.tick, guard: m.guard}
	for name, known := range sprig.TxtFuncMap() {
		if slices.Contains(withheld, name) {
			continue
		}
		if counted := m.counted(known); counted != nil {
			funcs[name] = counted
		}
	}
	m.printers(funcs)
	m.writers(funcs)
	m.growers(funcs)
	m.holders(funcs)
	return funcs
}
