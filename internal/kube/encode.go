package kube

import (
	"encoding/json"
	"fmt"
)

func encode(value any) ([]byte, error) {
	raw, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encoding a request: %w", err)
	}
	return raw, nil
}
