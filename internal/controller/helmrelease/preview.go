package helmrelease

import (
	helmv2 "github.com/fluxcd/helm-controller/api/v2"

	"holdfast.dev/holdfast/internal/stage/render/chart"
)

// Input says what the chart of a HelmRelease is rendered with at its first install, without the chart and the
// values. Those who render without a cluster use it, so that they render what the controller renders.
func Input(u *helmv2.HelmRelease) chart.Input {
	input := inputOf(u)
	install, _ := policiesOf(u)
	input.Revision, input.SkipSchema, input.CRDs = 1, install.SkipSchema, install.CRDs
	return input
}
