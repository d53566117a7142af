// A stand-in for Facebook's SDK with the part that Embedded Signup uses: FB.init and FB.login.
// A classic script, as pages load the real one: it finds its own address and calls fbAsyncInit.
(function () {
  const origin = new URL(document.currentScript.src).origin;
  window.FB = {
    init() {},
    login(callback, options) {
      const query = new URLSearchParams({
        config_id: options.config_id || "",
        extras: JSON.stringify(options.extras || {}),
        response_type: options.response_type || "code",
      });
      const popup = window.open(origin + "/signup?" + query, "whatsapp-signup", "width=560,height=760");
      let done = false;
      const finish = (code) => {
        if (done) return;
        done = true;
        window.removeEventListener("message", listen);
        clearInterval(watch);
        callback(code ? { authResponse: { code: code, userID: null, expiresIn: null }, status: "connected" }
                      : { authResponse: null, status: "unknown" });
      };
      const listen = (event) => {
        if (event.origin === origin && event.data && event.data.kind === "whatsapp-simulator:done") {
          finish(event.data.code);
        }
      };
      window.addEventListener("message", listen);
      const watch = setInterval(() => { if (!popup || popup.closed) setTimeout(() => finish(null), 300); }, 400);
    },
  };
  if (typeof window.fbAsyncInit === "function") window.fbAsyncInit();
})();
