package index

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"sigs.k8s.io/yaml"
)

// What an index may be.
const (
	// MaxBytes is how large an index may be.
	MaxBytes    = 256 << 20
	maxVersions = 2_000_000
	maxLine     = 1 << 20
	maxUnusual  = 24 << 20 // in a layout that only a parser of YAML understands
)

var errUnusual = errors.New("the index is not laid out as Helm lays it out")

// Read reads an index as it comes.
func Read(from io.Reader) (*Index, error) {
	limited := &io.LimitedReader{R: from, N: MaxBytes + 1}
	buffered := bufio.NewReaderSize(limited, 64<<10)
	x, err := read(buffered)
	if limited.N <= 0 {
		return nil, fmt.Errorf("reading index: it has more than %d bytes", MaxBytes)
	}
	if err != nil {
		return nil, fmt.Errorf("reading index: %w", err)
	}
	return x, nil
}

func read(from *bufio.Reader) (*Index, error) {
	head, err := from.Peek(64)
	if err != nil && len(head) == 0 {
		return nil, errors.New("it is empty")
	}
	if bytes.HasPrefix(bytes.TrimLeft(head, " \t\r\n"), []byte("{")) {
		return readJSON(from)
	}
	// What the reader of lines has taken is kept, so that a parser can start again, as long as that is possible.
	kept := &recording{from: from}
	x, err := (&lines{from: bufio.NewReaderSize(kept, 64<<10)}).read()
	if !errors.Is(err, errUnusual) {
		return x, err
	}
	if kept.overflow {
		return nil, fmt.Errorf("%w, and it has more than %d bytes", errUnusual, maxUnusual)
	}
	rest, err := io.ReadAll(io.LimitReader(from, int64(maxUnusual-kept.seen.Len()+1)))
	if err != nil {
		return nil, err
	}
	if kept.seen.Len()+len(rest) > maxUnusual {
		return nil, fmt.Errorf("%w, and it has more than %d bytes", errUnusual, maxUnusual)
	}
	return readYAML(append(kept.seen.Bytes(), rest...))
}

// recording keeps the beginning of what is read.
type recording struct {
	from     io.Reader
	seen     bytes.Buffer
	overflow bool
}

func (r *recording) Read(into []byte) (int, error) {
	n, err := r.from.Read(into)
	if !r.overflow && r.seen.Len()+n > maxUnusual {
		r.overflow, r.seen = true, bytes.Buffer{}
	}
	if !r.overflow {
		r.seen.Write(into[:n])
	}
	return n, err
}

func readYAML(text []byte) (*Index, error) {
	raw, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, err
	}
	return readJSON(bytes.NewReader(raw))
}

// readJSON reads one version after the other.
func readJSON(from io.Reader) (*Index, error) {
	decoder := json.NewDecoder(from)
	x := &Index{charts: map[string][]Version{}}
	if err := expect(decoder, '{'); err != nil {
		return nil, err
	}
	apiVersion := false
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		switch key {
		case "apiVersion":
			apiVersion = true
		case "entries":
			if err := x.readEntries(decoder); err != nil {
				return nil, err
			}
			continue
		}
		var skipped json.RawMessage
		if err := decoder.Decode(&skipped); err != nil {
			return nil, err
		}
	}
	if !apiVersion {
		return nil, errNoVersion
	}
	return x, nil
}

var errNoVersion = errors.New("no API version specified")

func (x *Index) readEntries(decoder *json.Decoder) error {
	token, err := decoder.Token()
	if err != nil || token == nil {
		return err
	}
	if token != json.Delim('{') {
		return errors.New("entries are no map")
	}
	count := 0
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return err
		}
		var versions []struct {
			Version
			URL string `json:"url"`
		}
		if err := decoder.Decode(&versions); err != nil {
			return fmt.Errorf("chart %v: %w", name, err)
		}
		if count += len(versions); count > maxVersions {
			return fmt.Errorf("it has more than %d versions", maxVersions)
		}
		for _, one := range versions {
			one.Name, _ = name.(string)
			x.add(one.Version)
		}
	}
	return expect(decoder, '}')
}

func expect(decoder *json.Decoder, delim json.Delim) error {
	token, err := decoder.Token()
	if err != nil {
		return err
	}
	if token != delim {
		return fmt.Errorf("%q was expected, %v found", delim.String(), token)
	}
	return nil
}

// lines reads the layout that Helm writes: maps and lists in blocks, one key a line.
type lines struct {
	from  *bufio.Reader
	index *Index

	apiVersion bool
	inEntries  bool
	nameAt     int // indent of the charts' names; 0 is not known yet
	itemAt     int // indent of the dashes of the current chart's list; -1 before the first
	keyAt      int // indent of the keys of the current version
	chart      string
	item       *Version
	list       *[]string // the list that the current line may belong to
	count      int
}

func (l *lines) read() (*Index, error) {
	l.index = &Index{charts: map[string][]Version{}}
	for {
		line, err := l.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if err := l.take(line); err != nil {
			return nil, err
		}
	}
	l.finish()
	if !l.apiVersion {
		return nil, errNoVersion
	}
	return l.index, nil
}

// next returns the next line without its end. A line that is longer than anything that is kept is cut.
func (l *lines) next() (string, error) {
	line, err := l.from.ReadSlice('\n')
	for err == nil && l.unasked(line) {
		line, err = l.from.ReadSlice('\n')
	}
	if err == nil || errors.Is(err, io.EOF) && len(line) > 0 {
		return strings.TrimRight(string(line), "\r\n"), nil
	}
	if !errors.Is(err, bufio.ErrBufferFull) {
		return "", err
	}
	long := append([]byte(nil), line...)
	for errors.Is(err, bufio.ErrBufferFull) {
		line, err = l.from.ReadSlice('\n')
		if len(long) < maxLine {
			long = append(long, line...)
		}
	}
	return strings.TrimRight(string(long), "\r\n"), nil
}

// unasked tells whether a line belongs to a value of a version that nobody asks for: most do.
func (l *lines) unasked(line []byte) bool {
	if l.item == nil || l.list != nil || l.keyAt == 0 || len(line) <= l.keyAt {
		return false
	}
	for _, c := range line[:l.keyAt+1] {
		if c != ' ' {
			return false
		}
	}
	return true
}

func (l *lines) finish() {
	if l.item != nil {
		l.item.Name = l.chart
		l.index.add(*l.item)
		l.item = nil
	}
	l.list = nil
}

// take reads one line by its indent: what is indented deeper than the keys of a version belongs to a value
// that nobody asks for.
func (l *lines) take(line string) error {
	text := strings.TrimLeft(line, " ")
	indent := len(line) - len(text)
	if text == "" || text[0] == '#' {
		return nil
	}
	if indent == 0 && !strings.HasPrefix(text, "- ") {
		return l.top(text)
	}
	if !l.inEntries {
		return nil
	}
	if text[0] == '\t' {
		return errUnusual
	}
	if l.nameAt == 0 {
		l.nameAt = indent
	}
	dash := text == "-" || strings.HasPrefix(text, "- ")
	switch {
	case indent < l.nameAt:
		return errUnusual
	case indent == l.nameAt && !dash:
		return l.name(text)
	case l.chart == "":
		return errUnusual
	case dash && (l.itemAt < 0 || indent == l.itemAt):
		l.itemAt = indent
		return l.begin(text, indent)
	case l.item == nil || l.itemAt < 0 || indent <= l.itemAt:
		return errUnusual
	case l.keyAt == 0:
		l.keyAt = indent // the dash stood alone
		return l.key(text)
	case indent == l.keyAt && !dash:
		return l.key(text)
	case dash && indent >= l.keyAt && l.list != nil:
		return l.element(text[1:])
	}
	return nil
}

func (l *lines) top(text string) error {
	l.finish()
	l.inEntries = false
	key, value, found := strings.Cut(text, ":")
	switch {
	case text == "---":
	case !found:
		return errUnusual
	case key == "apiVersion":
		l.apiVersion = true
	case key == "entries":
		l.inEntries = true
		if value = strings.TrimSpace(value); value != "" && value != "{}" {
			return errUnusual
		}
	}
	return nil
}

// name begins a chart.
func (l *lines) name(text string) error {
	l.finish()
	key, value, found := strings.Cut(text, ":")
	if value = strings.TrimSpace(value); !found || value != "" && value != "[]" {
		return errUnusual
	}
	name, err := scalar(key)
	if err != nil {
		return err
	}
	l.chart, l.itemAt = name, -1
	return nil
}

// begin begins a version, whose first key may be in the line of the dash.
func (l *lines) begin(text string, indent int) error {
	l.finish()
	if l.count++; l.count > maxVersions {
		return fmt.Errorf("it has more than %d versions", maxVersions)
	}
	l.item, l.keyAt = &Version{}, 0
	rest := strings.TrimLeft(text[1:], " ")
	if rest == "" {
		return nil
	}
	l.keyAt = indent + len(text) - len(rest)
	return l.key(rest)
}

// key reads one key of a version.
func (l *lines) key(text string) error {
	l.list = nil
	key, value, found := strings.Cut(text, ":")
	if !found || strings.ContainsAny(key, "{}[]&*!|>'\"%@`<") {
		return errUnusual
	}
	value = strings.TrimSpace(value)
	var err error
	switch key {
	case "version":
		l.item.Version, err = scalar(value)
	case "digest":
		l.item.Digest, err = scalar(value)
	case "created":
		l.item.Created, err = scalar(value)
	case "urls":
		l.list = &l.item.URLs
		if value != "" && value != "[]" {
			return errUnusual
		}
	}
	return err
}

func (l *lines) element(text string) error {
	read, err := scalar(strings.TrimSpace(text))
	*l.list = append(*l.list, read)
	return err
}

// scalar reads a value that stands in one line.
func scalar(text string) (string, error) {
	if text == "" || text == "~" || text == "null" {
		return "", nil
	}
	switch text[0] {
	case '\'', '"':
		if inner := text[1:]; strings.IndexByte(inner, text[0]) == len(inner)-1 && !strings.Contains(inner, "\\") {
			return inner[:len(inner)-1], nil
		}
		var value any
		if err := yaml.Unmarshal([]byte(text), &value); err != nil {
			return "", errUnusual
		}
		read, isText := value.(string)
		if !isText {
			return "", errUnusual
		}
		return read, nil
	case '&', '*', '!', '|', '>', '{', '[', '%', '@', '`':
		return "", errUnusual
	}
	if at := strings.Index(text, " #"); at >= 0 {
		text = strings.TrimRight(text[:at], " ")
	}
	return text, nil
}
