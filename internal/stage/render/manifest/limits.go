package manifest

import "fmt"

// Limits bound what one build may take. The zero value of a field means its default.
type Limits struct {
	FileBytes  int64 // size of one file; 16 MiB
	TotalBytes int64 // size of all files that one build reads; 256 MiB
	Objects    int   // objects that one build yields; 50,000
	Nodes      int   // YAML nodes of one file after aliases are expanded; 4,000,000
	Depth      int   // nesting of YAML nodes; 200
}

const (
	defaultFileBytes  = 16 << 20
	defaultTotalBytes = 256 << 20
	defaultObjects    = 50_000
	defaultNodes      = 4_000_000
	defaultDepth      = 200
)

// WithDefaults fills in what is not set.
func (l Limits) WithDefaults() Limits {
	l.FileBytes = orDefault(l.FileBytes, defaultFileBytes)
	l.TotalBytes = orDefault(l.TotalBytes, defaultTotalBytes)
	l.Objects = orDefault(l.Objects, defaultObjects)
	l.Nodes = orDefault(l.Nodes, defaultNodes)
	l.Depth = orDefault(l.Depth, defaultDepth)
	return l
}

func orDefault[T int | int64](value, otherwise T) T {
	if value <= 0 {
		return otherwise
	}
	return value
}

// TooMany is the error of a limit that was reached.
func TooMany(what string, limit any) error {
	return fmt.Errorf("%s (limit %v)", what, limit)
}
