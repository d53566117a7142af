"""The browser's side of Embedded Signup: a stand-in for Facebook's JavaScript SDK, and a plain popup."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

SDK = """\
/* The same interface as Facebook's SDK for Embedded Signup: FB.init and FB.login. */
(function () {
  const origin = new URL(document.currentScript.src).origin;
  window.FB = {
    init() {},
    login(callback, options) {
      const query = new URLSearchParams({
        config_id: options.config_id || '',
        extras: JSON.stringify(options.extras || {}),
        response_type: options.response_type || 'code',
      });
      const popup = window.open(origin + '/signup?' + query, 'whatsapp-signup', 'width=560,height=760');
      let done = false;
      const finish = (code) => {
        if (done) return;
        done = true;
        window.removeEventListener('message', listen);
        clearInterval(watch);
        callback(code ? { authResponse: { code: code, userID: null, expiresIn: null }, status: 'connected' }
                      : { authResponse: null, status: 'unknown' });
      };
      const listen = (event) => {
        if (event.origin === origin && event.data && event.data.kind === 'whatsapp-simulator:done') {
          finish(event.data.code);
        }
      };
      window.addEventListener('message', listen);
      const watch = setInterval(() => { if (!popup || popup.closed) setTimeout(() => finish(null), 300); }, 400);
    },
  };
  if (typeof window.fbAsyncInit === 'function') window.fbAsyncInit();
})();
"""

PAGE = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Connect WhatsApp Business</title>
<style>body{font:16px/1.5 system-ui;max-width:26rem;margin:2rem auto;padding:0 1rem}
input,button{font:inherit;padding:.5rem .8rem;width:100%;margin:.3rem 0;box-sizing:border-box}
output{font:600 2rem/1.4 ui-monospace,monospace;letter-spacing:.1em}</style></head><body>
<h1>Connect WhatsApp Business</h1>
<form id="ask"><label>Number in the WhatsApp Business app <input id="number" inputmode="tel" required></label>
<button>Next</button></form>
<section id="show" hidden><p>On the phone, open the message from Facebook Business, press Connect, and paste:</p>
<output id="code"></output></section>
<p id="problem" role="alert"></p><button id="cancel" type="button">Cancel</button>
<script>
const query = new URLSearchParams(location.search);
const $ = (id) => document.getElementById(id);
const post = (path, body) => fetch(path, {method: 'POST', headers: {'content-type': 'application/json'},
  body: JSON.stringify(body)}).then(async (r) => {
    const d = await r.json();
    if (!r.ok) throw new Error(d.error);
    return d;
  });
let session = null;
const say = (error) => { $('problem').textContent = error.message; };
const leave = (s) => {
  if (window.opener) {
    window.opener.postMessage(JSON.stringify(s.window_message), '*');
    window.opener.postMessage({kind: 'whatsapp-simulator:done', code: s.code}, '*');
  }
  setTimeout(() => window.close(), 200);
};
const watch = () => fetch('/signup/sessions/' + session).then((r) => r.json()).then((s) => {
  if (s.state === 'finished' || s.state === 'cancelled') leave(s); else setTimeout(watch, 400);
});
post('/signup/sessions', {config_id: query.get('config_id'), extras: JSON.parse(query.get('extras') || '{}')})
  .then((s) => { session = s.session_id; }).catch(say);
$('ask').addEventListener('submit', (event) => {
  event.preventDefault();
  post('/signup/sessions/' + session + '/number', {phone_number: $('number').value}).then((s) => {
    $('problem').textContent = '';
    $('ask').hidden = true;
    if (s.verification_code) { $('show').hidden = false; $('code').textContent = s.verification_code; }
    watch();
  }).catch(say);
});
$('cancel').addEventListener('click', () => session
  ? post('/signup/sessions/' + session + '/cancel', {}).then(leave).catch(say) : window.close());
</script></body></html>
"""


async def sdk(_: Request) -> Response:
    return Response(SDK, media_type="text/javascript")


async def popup(_: Request) -> Response:
    return HTMLResponse(PAGE)
