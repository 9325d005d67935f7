package record

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// Settings makes the entry which says that the spec of a resource is another one: its digest, never its
// content. The resource itself does not say who changed it.
func Settings(about Subject, generation int64, spec any, now time.Time) (Entry, error) {
	raw, err := json.Marshal(spec)
	if err != nil {
		return Entry{}, fmt.Errorf("encoding spec: %w", err)
	}
	number := strconv.FormatInt(generation, 10)
	return Entry{
		At: now, Kind: Configured, Subject: about,
		Message: "The settings are those of generation " + number,
		Details: map[string]string{"generation": number, "digest": fmt.Sprintf("sha256:%x", sha256.Sum256(raw))},
	}, nil
}
