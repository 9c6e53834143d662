/** The two pages that the server itself has. Scripts and styles come from this server only. */

export function landingPage(release: string): string {
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Holdfast</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:4rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}a{color:#0b57d0}
@media(prefers-color-scheme:dark){body{color:#e8e8e8;background:#161616}a{color:#8ab4f8}}</style></head>
<body>
<h1>Holdfast</h1>
<p>A distributed lock service, version ${release}. It is running.</p>
<ul>
<li><a href="/docs">Interactive reference</a> of both APIs</li>
<li>OpenAPI documents: <a href="/v1/openapi.json">v1</a>, <a href="/v2/openapi.json">v2</a></li>
<li><a href="/readyz">Ready?</a> · <a href="/livez">Alive?</a> · <a href="/metrics">Metrics</a></li>
</ul>
</body>
</html>
`
}

export const referencePage = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Holdfast reference</title>
<link rel="icon" href="/docs/favicon-32x32.png"><link rel="stylesheet" href="/docs/swagger-ui.css"></head>
<body><nav style="font:16px system-ui,sans-serif;padding:1rem"><a href="/docs?v1">v1, the simple API</a> · <a href="/docs?v2">v2, the whole service</a></nav>
<div id="reference"></div><script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/reference.js"></script></body>
</html>
`

export const referenceScript = `const version = location.search === '?v1' ? 'v1' : 'v2'
window.SwaggerUIBundle({ url: '/' + version + '/openapi.json', dom_id: '#reference', deepLinking: true, validatorUrl: null })
`
