// Package trace sends spans to a collector of OpenTelemetry, where there is one.
//
// In: the standard environment variables of OpenTelemetry, and spans of those who are handed a Tracer.
// Out: OTLP over HTTP or gRPC. Without an endpoint in the environment it does nothing at all. A span
// holds names, counts and reasons. It never holds a value of an object, a credential or an address with
// one in it.
package trace
