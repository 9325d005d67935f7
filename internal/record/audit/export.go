package audit

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"holdfast.dev/holdfast/internal/record/database"
)

// format is the first word of an export.
const format = "holdfast.audit/v1"

// The lines of an export. Each is written in one way only, so that not a byte of it can be another.
type (
	headLine struct {
		Format      string   `json:"format"`
		Size        int64    `json:"size"`
		Keys        []string `json:"keys"`
		Checkpoints []string `json:"checkpoints"`
	}
	tileLine struct {
		Tile   int64  `json:"tile"`
		Hashes string `json:"hashes"`
	}
	recordLine struct {
		N     int64           `json:"n"`
		Root  string          `json:"root"`
		Entry json.RawMessage `json:"entry"`
	}
)

// Export writes the whole log as lines of JSON: what vouches for it, the hashes of what was dropped,
// and the records. The export can be verified without the store.
func Export(ctx context.Context, db *database.DB, out io.Writer) error {
	buffered := bufio.NewWriterSize(out, 64<<10)
	err := db.Read(ctx, func(tx *database.Tx) error {
		keys, notes, err := vouchers(ctx, tx)
		if err != nil {
			return err
		}
		stored, err := readHead(ctx, tx)
		if err != nil {
			return err
		}
		if err := writeLine(buffered, headLine{format, stored.size, keys, notes}); err != nil {
			return err
		}
		tiles := func(tile int64, hashes []byte) error {
			return writeLine(buffered, tileLine{tile, hashText(hashes)})
		}
		return feed(ctx, tx, tiles, func(r Record) error {
			_, err := buffered.Write(r.line())
			return err
		})
	})
	if err == nil {
		err = buffered.Flush()
	}
	if err != nil {
		return fmt.Errorf("exporting the audit log in %s: %w", db.Place(), err)
	}
	return nil
}

// line is the line of a record, whose body stands in it byte for byte.
func (r Record) line() []byte {
	return fmt.Appendf(nil, "{\"n\":%d,\"root\":\"%s\",\"entry\":%s}\n", r.N, r.Root, r.Body)
}

func writeLine(out io.Writer, line any) error {
	text, err := encodeLine(line)
	if err == nil {
		_, err = out.Write(text)
	}
	return err
}

func encodeLine(line any) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(line)
	return text.Bytes(), err
}

const (
	// maxHead and maxLine are how long the first line of an export, and each other one, may be.
	maxHead = 1 << 30
	maxLine = 2 * maxBody
)

// VerifyExport judges an export by itself. Errors that come of reading are not BrokenErrors.
func VerifyExport(in io.Reader, trust Trust) (Report, error) {
	reader := bufio.NewReaderSize(in, 64<<10)
	head, verifier, err := begin(reader, trust)
	if err != nil {
		return Report{}, fmt.Errorf("verifying the export: %w", err)
	}
	for {
		line, err := readLine(reader, maxLine)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = takeLine(verifier, line)
		}
		if errors.Is(err, errLine) {
			err = broken(verifier.tree.size+1, verifier.tree.size+1, err.Error())
		}
		if err != nil {
			return verifier.report, fmt.Errorf("verifying the export: %w", err)
		}
	}
	report, err := verifier.End(head.Size)
	if err != nil {
		return report, fmt.Errorf("verifying the export: %w", err)
	}
	return report, nil
}

func begin(reader *bufio.Reader, trust Trust) (headLine, *Verifier, error) {
	var head headLine
	line, err := readLine(reader, maxHead)
	if err != nil || json.Unmarshal(line, &head) != nil || head.Format != format || !isLine(head, line) {
		return head, nil, errors.New("its first line is not that of an export of an audit log")
	}
	keys, err := trust.keys(head.Keys)
	if err != nil {
		return head, nil, err
	}
	verifier, err := NewVerifier(keys, append(head.Checkpoints, trust.Notes...))
	if err == nil {
		err = verifier.ownKeys(trust)
	}
	return head, verifier, err
}

var errLine = errors.New("its line is not in the form in which it was written")

// takeLine gives a line to the verifier.
func takeLine(verifier *Verifier, line []byte) error {
	if bytes.HasPrefix(line, []byte(`{"tile":`)) {
		var tile tileLine
		if json.Unmarshal(line, &tile) != nil || !isLine(tile, line) {
			return errLine
		}
		hashes, err := base64.StdEncoding.Strict().DecodeString(tile.Hashes)
		if err != nil {
			return errLine
		}
		return verifier.Tile(tile.Tile, hashes)
	}
	var read recordLine
	if json.Unmarshal(line, &read) != nil {
		return errLine
	}
	root, err := tlog.ParseHash(read.Root)
	if err != nil {
		return errLine
	}
	r := Record{N: read.N, Root: root, Body: read.Entry}
	if !bytes.Equal(r.line(), line) {
		return errLine
	}
	return verifier.Record(r)
}

// isLine tells whether a line is what was read of it, byte for byte.
func isLine(read any, line []byte) bool {
	text, err := encodeLine(read)
	return err == nil && bytes.Equal(text, line)
}

// readLine reads a line with its end. A last line without an end was cut.
func readLine(reader *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	for {
		part, err := reader.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > limit:
			return nil, errLine
		case err == nil:
			return line, nil
		case errors.Is(err, io.EOF) && len(line) > 0:
			return nil, errLine
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

// cloudEvent is a record in the form of CloudEvents 1.0.
type cloudEvent struct {
	SpecVersion string          `json:"specversion"`
	ID          string          `json:"id"`
	Source      string          `json:"source"`
	Type        string          `json:"type"`
	Subject     string          `json:"subject"`
	Time        time.Time       `json:"time"`
	ContentType string          `json:"datacontenttype"`
	Root        string          `json:"auditroot"`
	Data        json.RawMessage `json:"data"`
}

// ExportEvents writes records as CloudEvents, one a line, for systems that gather events. They cannot
// be verified by themselves.
func ExportEvents(ctx context.Context, db *database.DB, out io.Writer) error {
	buffered := bufio.NewWriterSize(out, 64<<10)
	err := db.Read(ctx, func(tx *database.Tx) error {
		return feed(ctx, tx, func(int64, []byte) error { return nil }, func(r Record) error {
			entry, err := decode(r.Body)
			if err != nil {
				return fmt.Errorf("record %d: %w", r.N, err)
			}
			return writeLine(buffered, cloudEvent{
				SpecVersion: "1.0", ID: fmt.Sprint(r.N), Source: Origin, Type: "dev.holdfast.audit." + string(entry.Kind),
				Subject: subjectOf(entry.Subject), Time: entry.At, ContentType: "application/json",
				Root: r.Root.String(), Data: r.Body,
			})
		})
	})
	if err == nil {
		err = buffered.Flush()
	}
	if err != nil {
		return fmt.Errorf("exporting the audit log in %s: %w", db.Place(), err)
	}
	return nil
}
