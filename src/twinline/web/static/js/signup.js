// Embedded Signup: opens Meta's popup, hears what it says, and hands both over to our server at once.
//
// Two things come back, in either order: a window message that says how the signup went, and a code in the
// callback of FB.login. The code lives for 30 seconds, so nothing waits for a click in between. A message that is
// lost or late is no failure: the server then asks Meta which account the code is for.

const PATIENCE = 1500; // ms that a code waits for its message

const box = document.querySelector("[data-signup]");
if (box) start(box, JSON.parse(box.querySelector("script[type='application/json']").textContent));

function start(box, { sdk, appId, version, options, origins, finish, csrf }) {
  const button = box.querySelector("button");
  const status = box.querySelector("[role=status]");
  let message = null;
  let code = null;
  let waiting = null;
  let done = false;
  let open = false;

  button.disabled = true;
  window.fbAsyncInit = () => {
    window.FB.init({ appId, version, xfbml: false, autoLogAppEvents: false });
    button.disabled = false;
    say("");
  };
  const script = document.createElement("script");
  script.src = sdk;
  script.async = true;
  script.onerror = () =>
    say("Meta's script didn't load. An ad blocker or a company firewall often stops it: allow it for this page, then reload.", true);
  document.head.append(script);

  window.addEventListener("message", (event) => {
    if (!trusted(event.origin)) return;
    const heard = parse(event.data);
    if (heard?.type !== "WA_EMBEDDED_SIGNUP") return;
    message = heard;
    // A cancellation comes without a code; everything else waits for the one that follows it.
    if (heard.event === "CANCEL" || heard.event === "ERROR") hand(0);
    else if (code) hand(0);
  });

  button.addEventListener("click", () => {
    [message, code, done] = [null, null, false];
    open = true;
    button.disabled = true;
    say("Continue in the window that opened. Have the phone at hand.");
    window.FB.login((response) => {
      code = response?.authResponse?.code ?? null;
      hand(message || !code ? 0 : PATIENCE);
    }, options);
  });

  // Only this page can take the code: left before, the phone ends connected to nobody who knows it.
  window.addEventListener("beforeunload", (event) => {
    if (open) event.preventDefault();
  });

  function trusted(origin) {
    if (origins.includes(origin)) return true;
    try {
      const { protocol, hostname } = new URL(origin);
      return protocol === "https:" && (hostname === "facebook.com" || hostname.endsWith(".facebook.com"));
    } catch {
      return false;
    }
  }

  function parse(data) {
    if (typeof data !== "string") return data && typeof data === "object" ? data : null;
    try {
      return JSON.parse(data);
    } catch {
      return null; // the SDK's own chatter
    }
  }

  function hand(delay) {
    clearTimeout(waiting);
    waiting = setTimeout(send, delay);
  }

  async function send() {
    if (done) return;
    done = true;
    if (!code && !message) {
      say("The window was closed before anything was connected. Nothing has changed; start again when you like.");
      open = false;
      button.disabled = false;
      return;
    }
    say("Finishing the connection …");
    try {
      const response = await fetch(finish, {
        method: "POST",
        headers: { "content-type": "application/json", accept: "application/json", "x-csrf-token": csrf },
        body: JSON.stringify({ code, message }),
      });
      const answer = await response.json();
      open = false;
      if (answer.next) {
        location.assign(answer.next);
        return;
      }
      // Leaving the window is a decision, not a fault.
      say(answer.problem, message?.event !== "CANCEL" || Boolean(message.data?.error_message));
    } catch {
      say("Our server didn't answer, so the connection wasn't finished. Check the network, then start again.", true);
    }
    open = false;
    button.disabled = false;
  }

  function say(text, bad = false) {
    status.textContent = text;
    status.classList.toggle("bad", bad);
  }
}
