package identitytest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// serveCloud answers as the providers do, as far as their clients look.
func (w *World) serveCloud(writer http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	host, _, _ := strings.Cut(r.Header.Get(forHost), ":")
	switch {
	case r.Header.Get("X-Amz-Target") != "":
		w.registryOfAmazon(writer)
	case r.PostForm.Get("Action") == "AssumeRoleWithWebIdentity":
		w.roleOfAmazon(writer, r)
	case strings.HasPrefix(r.URL.Path, "/clusters/"):
		w.clusterOfAmazon(writer, r)
	case strings.HasSuffix(r.URL.Path, "/openid-configuration"):
		base := w.Cloud.URL + "/" + Tenant
		reply(writer, map[string]any{"issuer": base + "/v2.0", "authorization_endpoint": base + "/authorize", "token_endpoint": base + "/oauth2/v2.0/token"})
	case strings.HasSuffix(r.URL.Path, "/oauth2/v2.0/token"):
		w.tokenOfMicrosoft(writer, r)
	case host != "" && strings.HasSuffix(r.URL.Path, "/oauth2/exchange"):
		w.registryOfMicrosoft(writer, r)
	case strings.Contains(r.URL.Path, "/managedClusters/"):
		w.clusterOfMicrosoft(writer, r)
	case r.URL.Path == "/google/token":
		w.tokenOfGoogle(writer, r)
	case strings.HasPrefix(r.URL.Path, "/google/v1/projects/"):
		w.clusterOfGoogle(writer, r)
	default: // the API server of a cluster
		w.lock.Lock()
		w.seen = append(w.seen, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		w.lock.Unlock()
		reply(writer, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Success"})
	}
}

func reply(w http.ResponseWriter, body map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}

// refused answers with a failure, if there is one.
func refused(w http.ResponseWriter, status int, body string) bool {
	if status == 0 {
		return false
	}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
	return true
}

func (w *World) roleOfAmazon(writer http.ResponseWriter, r *http.Request) {
	status := w.count("aws")
	name, trusted := holder(r.PostForm.Get("WebIdentityToken"), "sts.amazonaws.com")
	if status == 0 && !trusted {
		status = http.StatusForbidden
	}
	fault := "Sender"
	if status >= http.StatusInternalServerError {
		fault = "Receiver"
	}
	if refused(writer, status, `<ErrorResponse><Error><Type>`+fault+`</Type><Code>AccessDenied</Code><Message>`+Canary+`</Message></Error></ErrorResponse>`) {
		return
	}
	writer.Header().Set("Content-Type", "text/xml")
	_, _ = fmt.Fprintf(writer, `<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>`+
		`<AccessKeyId>AKIA%s</AccessKeyId><SecretAccessKey>secret-%s</SecretAccessKey><SessionToken>session-%s</SessionToken><Expiration>%s</Expiration>`+
		`</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`,
		name, Canary, r.PostForm.Get("RoleArn"), time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
}

func (w *World) registryOfAmazon(writer http.ResponseWriter) {
	if refused(writer, w.count("ecr"), `{"__type":"AccessDeniedException","message":"`+Canary+`"}`) {
		return
	}
	writer.Header().Set("Content-Type", "application/x-amz-json-1.1")
	_ = json.NewEncoder(writer).Encode(map[string]any{"authorizationData": []any{map[string]any{
		"authorizationToken": base64.StdEncoding.EncodeToString([]byte("AWS:" + Canary)), "expiresAt": time.Now().Add(12 * time.Hour).Unix(),
	}}})
}

func (w *World) clusterOfAmazon(writer http.ResponseWriter, r *http.Request) {
	if refused(writer, w.count("eks"), `{"__type":"AccessDeniedException","message":"`+Canary+`"}`) {
		return
	}
	reply(writer, map[string]any{"cluster": map[string]any{
		"name": strings.TrimPrefix(r.URL.Path, "/clusters/"), "endpoint": w.Cloud.URL,
		"certificateAuthority": map[string]any{"data": base64.StdEncoding.EncodeToString([]byte(w.CA()))},
	}})
}

func (w *World) tokenOfMicrosoft(writer http.ResponseWriter, r *http.Request) {
	status := w.count("azure")
	name, trusted := holder(r.PostForm.Get("client_assertion"), "api://AzureADTokenExchange")
	if status == 0 && !trusted {
		status = http.StatusUnauthorized
	}
	if refused(writer, status, `{"error":"invalid_client","error_description":"AADSTS700213: `+Canary+`"}`) {
		return
	}
	reply(writer, map[string]any{"access_token": "azure of " + name + " for " + r.PostForm.Get("scope"), "token_type": "Bearer", "expires_in": 3600})
}

func (w *World) registryOfMicrosoft(writer http.ResponseWriter, r *http.Request) {
	if refused(writer, w.count("acr"), `{"errors":[{"code":"UNAUTHORIZED","message":"`+Canary+`"}]}`) {
		return
	}
	claims, _ := json.Marshal(map[string]any{"exp": time.Now().Add(time.Hour).Unix(), "sub": r.PostForm.Get("access_token")})
	encode := base64.RawURLEncoding.EncodeToString
	reply(writer, map[string]any{"refresh_token": encode([]byte(`{"alg":"none"}`)) + "." + encode(claims) + "." + encode([]byte("x"))})
}

func (w *World) clusterOfMicrosoft(writer http.ResponseWriter, r *http.Request) {
	if refused(writer, w.count("aks"), `{"error":{"code":"AuthorizationFailed","message":"`+Canary+`"}}`) {
		return
	}
	if !strings.HasSuffix(r.URL.Path, "/listClusterUserCredential") {
		reply(writer, map[string]any{"properties": map[string]any{"aadProfile": map[string]any{"managed": true}}})
		return
	}
	config := fmt.Sprintf("apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {}}]\n"+
		"clusters: [{name: c, cluster: {server: %q, certificate-authority-data: %s}}]\n", w.Cloud.URL, base64.StdEncoding.EncodeToString([]byte(w.CA())))
	reply(writer, map[string]any{"kubeconfigs": []any{map[string]any{"name": "c", "value": base64.StdEncoding.EncodeToString([]byte(config))}}})
}

func (w *World) tokenOfGoogle(writer http.ResponseWriter, r *http.Request) {
	status := w.count("gcp")
	name, trusted := holder(r.PostForm.Get("subject_token"), strings.TrimPrefix(r.PostForm.Get("audience"), ""))
	if status == 0 && !trusted {
		status = http.StatusBadRequest
	}
	if refused(writer, status, `{"error":"invalid_grant","error_description":"`+Canary+`"}`) {
		return
	}
	reply(writer, map[string]any{"access_token": "google of " + name, "issued_token_type": "urn:ietf:params:oauth:token-type:access_token", "token_type": "Bearer", "expires_in": 3600})
}

func (w *World) clusterOfGoogle(writer http.ResponseWriter, r *http.Request) {
	if refused(writer, w.count("gke"), `{"error":{"code":403,"message":"`+Canary+`"}}`) {
		return
	}
	reply(writer, map[string]any{
		"name": r.URL.Path, "endpoint": strings.TrimPrefix(w.Cloud.URL, "https://"),
		"masterAuth": map[string]any{"clusterCaCertificate": base64.StdEncoding.EncodeToString([]byte(w.CA()))},
	})
}
