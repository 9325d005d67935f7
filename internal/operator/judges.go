package operator

import (
	"holdfast.dev/holdfast/internal/stage/check"
	"holdfast.dev/holdfast/internal/stage/check/schema"
)

// judges are those who look at what a unit wants before anything of it is written.
func judges() ([]check.Judge, error) {
	schemas, err := schema.New(schema.Options{})
	if err != nil {
		return nil, err
	}
	return []check.Judge{schemas}, nil
}
