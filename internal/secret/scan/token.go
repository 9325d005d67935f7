package scan

import "bytes"

// shape is what tokens of one kind look like: a prefix, and so many bytes of an alphabet after it.
type shape struct {
	what       string
	prefix     string
	alphabet   func(byte) bool
	least      int
	most       int // 0 is any number
	distinct   int // bytes that must differ, so that placeholders are none; 0 means 6
	inner      byte
	innerTimes int // how often inner must be among them
}

// shapes are the tokens that are known by how they begin.
func shapes() []shape {
	return []shape{
		{what: "an age identity", prefix: "AGE-SECRET-KEY-1", alphabet: isCaps, least: 50},
		{what: "an age identity", prefix: "AGE-SECRET-KEY-PQ-1", alphabet: isCaps, least: 50},
		{what: "a token of GitHub", prefix: "ghp_", alphabet: isAlnum, least: 36},
		{what: "a token of GitHub", prefix: "gho_", alphabet: isAlnum, least: 36},
		{what: "a token of GitHub", prefix: "ghu_", alphabet: isAlnum, least: 36},
		{what: "a token of GitHub", prefix: "ghs_", alphabet: isAlnum, least: 36},
		{what: "a token of GitHub", prefix: "ghr_", alphabet: isAlnum, least: 36},
		{what: "a token of GitHub", prefix: "github_pat_", alphabet: isWord, least: 60},
		{what: "a token of GitLab", prefix: "glpat-", alphabet: isDotted, least: 20},
		{what: "a token of GitLab", prefix: "gldt-", alphabet: isDotted, least: 20},
		{what: "a token of GitLab", prefix: "glrt-", alphabet: isDotted, least: 20},
		{what: "a token of GitLab", prefix: "glptt-", alphabet: isDotted, least: 20},
		{what: "an access key of AWS", prefix: "AKIA", alphabet: isCaps, least: 16, most: 16},
		{what: "an access key of AWS", prefix: "ASIA", alphabet: isCaps, least: 16, most: 16},
		{what: "a token of Slack", prefix: "xoxb-", alphabet: isWord, least: 20},
		{what: "a token of Slack", prefix: "xoxp-", alphabet: isWord, least: 20},
		{what: "a token of Slack", prefix: "xoxa-", alphabet: isWord, least: 20},
		{what: "a token of Slack", prefix: "xapp-", alphabet: isWord, least: 20},
		{what: "an address that posts to Slack", prefix: "hooks.slack.com/services/T", alphabet: func(c byte) bool { return isAlnum(c) || c == '/' }, least: 30, inner: '/', innerTimes: 2},
		{what: "an API key of Google", prefix: "AIza", alphabet: isWord, least: 35, most: 35},
		{what: "a client secret of Google", prefix: "GOCSPX-", alphabet: isWord, least: 28},
		{what: "a key of Stripe", prefix: "sk_live_", alphabet: isAlnum, least: 24},
		{what: "a key of Stripe", prefix: "rk_live_", alphabet: isAlnum, least: 24},
		{what: "a webhook secret", prefix: "whsec_", alphabet: isBase64, least: 32},
		{what: "a key of OpenAI", prefix: "sk-proj-", alphabet: isWord, least: 40},
		{what: "a key of Anthropic", prefix: "sk-ant-", alphabet: isWord, least: 40},
		{what: "a token of npm", prefix: "npm_", alphabet: isAlnum, least: 36, most: 36},
		{what: "a token of PyPI", prefix: "pypi-AgEIcHlwaS5vcmc", alphabet: isWord, least: 50},
		{what: "a token of Docker Hub", prefix: "dckr_pat_", alphabet: isWord, least: 27},
		{what: "a key of SendGrid", prefix: "SG.", alphabet: isDotted, least: 60, inner: '.', innerTimes: 1},
		{what: "a token of DigitalOcean", prefix: "dop_v1_", alphabet: isHex, least: 64, most: 64},
		{what: "a token of Vault", prefix: "hvs.", alphabet: isWord, least: 24},
		{what: "a token of Vault", prefix: "hvb.", alphabet: isWord, least: 24},
		{what: "a token of Hugging Face", prefix: "hf_", alphabet: isAlnum, least: 34, most: 40},
		{what: "a token of Grafana", prefix: "glsa_", alphabet: isWord, least: 40},
		{what: "a token of Grafana", prefix: "glc_eyJ", alphabet: isBase64, least: 40},
		{what: "a key of Tailscale", prefix: "tskey-", alphabet: isWord, least: 30},
		{what: "a token of Shopify", prefix: "shpat_", alphabet: isHex, least: 32, most: 32},
		{what: "a token of Linear", prefix: "lin_api_", alphabet: isAlnum, least: 40},
		{what: "a key of Azure Storage", prefix: "AccountKey=", alphabet: isBase64, least: 86},
		{what: "a signed token (JWT)", prefix: "eyJ", alphabet: isDotted, least: 60, inner: '.', innerTimes: 2},
	}
}

// tokens finds what has a known shape. Placeholders of it are no tokens: they repeat themselves, or say
// that they are an example.
func (s *search) tokens() {
	for _, shape := range shapes() {
		prefix := []byte(shape.prefix)
		for at := range each(s.content, prefix) {
			if at > 0 && isWord(s.content[at-1]) {
				continue
			}
			rest := s.content[at+len(prefix):]
			rest = rest[:run(rest, shape.alphabet)]
			if shape.fits(rest) {
				s.add(at, Token, shape.what)
			}
		}
	}
}

func (h shape) fits(rest []byte) bool {
	if len(rest) < h.least || h.most > 0 && len(rest) > h.most {
		return false
	}
	if h.innerTimes > 0 && bytes.Count(rest, []byte{h.inner}) < h.innerTimes {
		return false
	}
	return distinct(rest) >= max(h.distinct, 6) && !isPlaceholder(rest)
}

func distinct(text []byte) int {
	var seen [256]bool
	count := 0
	for _, c := range text {
		if !seen[c] {
			seen[c] = true
			count++
		}
	}
	return count
}
