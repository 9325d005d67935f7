package receiver

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
)

// pushed unwraps what Google's registry says from the Pub/Sub message around it.
func pushed(body []byte) (map[string]any, error) {
	var envelope struct {
		Message struct {
			Data string `json:"data"`
		} `json:"message"`
	}
	if err := json.Unmarshal(body, &envelope); err != nil {
		return nil, errors.New("decoding the payload: it is no Pub/Sub message")
	}
	raw, err := base64.StdEncoding.DecodeString(envelope.Message.Data)
	if err != nil {
		return nil, errors.New("decoding the payload: the data of the Pub/Sub message is not base64")
	}
	var data struct {
		Action string `json:"action"`
		Digest string `json:"digest"`
		Tag    string `json:"tag"`
	}
	if err := json.Unmarshal(raw, &data); err != nil {
		return nil, errors.New("decoding the payload: the data of the Pub/Sub message is no event of a registry")
	}
	return map[string]any{"action": data.Action, "digest": data.Digest, "tag": data.Tag}, nil
}

// cdevent reads an event of the CDEvents specification, and checks what the specification demands of
// every event.
func cdevent(body []byte) (map[string]any, error) {
	payload := map[string]any{}
	var event struct {
		Context struct {
			Version     string `json:"version"`
			SpecVersion string `json:"specversion"` // since 0.5
			ID          string `json:"id"`
			Source      string `json:"source"`
			Type        string `json:"type"`
			Timestamp   string `json:"timestamp"`
		} `json:"context"`
		Subject struct {
			ID string `json:"id"`
		} `json:"subject"`
	}
	if json.Unmarshal(body, &payload) != nil || json.Unmarshal(body, &event) != nil {
		return nil, errors.New("decoding the payload: it is no CDEvent")
	}
	c := event.Context
	for _, demanded := range []string{c.Version + c.SpecVersion, c.ID, c.Source, c.Timestamp, event.Subject.ID} {
		if demanded == "" {
			return nil, errors.New("decoding the payload: it lacks what every CDEvent has: version, id, source, timestamp and subject")
		}
	}
	if !strings.HasPrefix(c.Type, "dev.cdevents.") && !strings.HasPrefix(c.Type, "dev.cdeventsx.") {
		return nil, errors.New("decoding the payload: its type is none of CDEvents")
	}
	return payload, nil
}
