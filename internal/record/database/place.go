package database

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"holdfast.dev/holdfast/internal/model/redact"
)

// Place says where a record store is. Its zero value is nowhere. It prints without its password.
type Place struct {
	file   string
	server redact.Text
	shown  string
}

// ParsePlace reads the path of a SQLite file or the URL of a PostgreSQL database. No error repeats the
// text, which may hold a password.
func ParsePlace(text string) (Place, error) {
	scheme, _, isURL := strings.Cut(text, "://")
	switch {
	case text == "":
		return Place{}, errors.New("reading the place of the record store: it is empty; give a file or a postgres:// URL")
	case !isURL:
		return File(text), nil
	case scheme != "postgres" && scheme != "postgresql":
		return Place{}, errors.New("reading the place of the record store: it is a URL of another kind than postgres://")
	}
	parsed, err := url.Parse(text)
	if err != nil {
		return Place{}, errors.New("reading the place of the record store: the postgres:// URL is malformed; " +
			"are special characters of its password percent-encoded?")
	}
	shown := url.URL{Scheme: parsed.Scheme, Host: parsed.Host, Path: parsed.Path}
	if name := parsed.User.Username(); name != "" {
		shown.User = url.User(name)
	}
	return Place{server: redact.Text(text), shown: shown.String()}, nil
}

// File is the place of a SQLite file.
func File(path string) Place { return Place{file: path, shown: path} }

// IsZero tells whether the place is nowhere.
func (p Place) IsZero() bool { return p.file == "" && p.server == "" }

// IsFile tells whether the place is a SQLite file.
func (p Place) IsFile() bool { return p.file != "" }

// String implements fmt.Stringer: the file, or the URL without password and settings.
func (p Place) String() string { return p.shown }

// GoString implements fmt.GoStringer.
func (p Place) GoString() string { return p.shown }

// uri writes the name of a SQLite file as SQLite's drivers take it, with settings.
func (p Place) uri(settings url.Values) (string, error) {
	path, err := filepath.Abs(p.file)
	if err != nil {
		return "", fmt.Errorf("finding %s: %w", p.file, err)
	}
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // the drive of a Windows path
	}
	name := url.URL{Scheme: "file", Path: path, RawQuery: settings.Encode()}
	return name.String(), nil
}
