package render

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// keyDecrypt set to disabled says that an object is meant to be applied as it is encrypted.
const keyDecrypt = "kustomize.toolkit.fluxcd.io/decrypt"

var (
	errEncrypted = errors.New("object is encrypted with SOPS: it must be decrypted before it can be delivered; the unit's spec.decryption says with which keys")
	errTorn      = errors.New("object has values that SOPS encrypted, but not what opens them: its file was cut short or put together by hand, restore it from the history")
)

// sopsMarkers are in every file that SOPS encrypted, one for each format.
var sopsMarkers = [][]byte{
	[]byte("\"mac\": \"ENC["), []byte("mac: ENC["), []byte("sops_mac=ENC["), []byte("[sops]"),
}

// refuseEncrypted finds what SOPS left in an object, as a whole or in the values of a Secret.
func refuseEncrypted(u *unstructured.Unstructured) error {
	secret := strings.EqualFold(u.GetKind(), "Secret") && u.GetAPIVersion() == "v1"
	metadata, found := u.Object["sops"].(map[string]any)
	if secret && found {
		return errEncrypted
	}
	if decryptOff(u.GetAnnotations()) || decryptOff(u.GetLabels()) {
		return nil
	}
	if mac, _ := metadata["mac"].(string); mac != "" {
		return errEncrypted
	}
	if !secret {
		return nil
	}
	if stillSealed(u) {
		return errTorn
	}
	data, _ := u.Object["data"].(map[string]any)
	for _, value := range data {
		text, _ := value.(string)
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			continue
		}
		for _, marker := range sopsMarkers {
			if bytes.Contains(raw, marker) {
				return errEncrypted
			}
		}
	}
	return nil
}
