package observe

import "k8s.io/apimachinery/pkg/util/resourceversion"

// older tells whether resource version a is before b in the history of a resource. Versions that
// cannot be compared, as of some aggregated servers, are never older: then the last word counts.
func older(a, b string) bool {
	order, err := resourceversion.CompareResourceVersion(a, b)
	return err == nil && order < 0
}
