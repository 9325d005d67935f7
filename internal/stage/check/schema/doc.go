// Package schema judges objects by the schemas of their kinds, as an API server would: types, required,
// unknown and twice-given fields, values, keys of lists, names and labels, and the rules in CEL that
// definitions bring.
//
// In: a check.Set. Out: findings. A schema comes from the definition in the same set or in its
// surroundings, or else from the cluster, or else from those of Kubernetes that are built in. What has no
// schema is not judged. Objects that passed are not judged again as long as neither they nor their schema
// change.
//
// It asks a cluster for schemas of whole API groups only, never for objects, and does without where it
// cannot: the server judges again. No finding tells a value.
package schema
