package storage

import (
	"errors"
	"math/rand/v2"
	"testing"

	helmchart "helm.sh/helm/v4/pkg/chart/v2"
	helmrelease "helm.sh/helm/v4/pkg/release/v1"
)

func TestTooLarge(t *testing.T) {
	noise := make([]byte, 2<<20)
	for i := range noise {
		noise[i] = byte(rand.IntN(256)) //nolint:gosec // noise that does not pack
	}
	record := &helmrelease.Release{Name: "web", Info: &helmrelease.Info{}, Chart: &helmchart.Chart{Schema: noise}}
	if _, err := encode(record); !errors.Is(err, ErrTooLarge) {
		t.Errorf("encode of a release that fits into no Secret: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	packed, err := encode(&helmrelease.Release{Name: "web", Info: &helmrelease.Info{}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed)
	f.Add([]byte("e30="))
	f.Fuzz(func(t *testing.T, data []byte) {
		record, err := decode(data)
		if err == nil && record.Info == nil {
			t.Error("a record without information")
		}
	})
}
