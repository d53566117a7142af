// The popup of Embedded Signup. It speaks to its opener as Meta's does: one window message, a JSON string, and for
// the stand-in of the SDK the code. Closing early is a CANCEL with the step that was open; closing on the last step
// counts as finished.

import { get, listen, post } from "./api.js";
import { avatar, fill, h, icon, number } from "./dom.js";

const query = new URLSearchParams(location.search);
const step = document.getElementById("step");
const variant = document.getElementById("variant");

/* What Meta's page documents, what newer copies of it add, and what goes wrong. `alter` rewrites the window message
   before it is posted; null keeps it back. */
const VARIANTS = {
  usual: { name: "As documented", note: "The window message of a finished connection has the account's id only." },
  ids: {
    name: "With more ids",
    note: "Meta's newer page lists phone_number_id and business_id too.",
    alter: (message, phone) => ({ ...message, data: { ...message.data, phone_number_id: phone.id, business_id: phone.business_id } }),
  },
  lost: { name: "Window message lost", note: "Only the code comes back: a blocker or a race ate the message.", alter: () => null },
  fell: { name: "Fell through", note: "The ordinary signup runs: a fresh number without the app, and a plain FINISH." },
  error: { name: "Error inside", note: "Something goes wrong after the number was typed: CANCEL with an error id." },
  event: {
    name: "ERROR event",
    note: "The same as an event of its own, as newer copies of Meta's page list it.",
    alter: (message) => (message.event === "CANCEL" && message.data.error_message ? { ...message, event: "ERROR" } : message),
  },
};

const state = { session: null, phones: [], app: {}, over: false, current: "BUSINESS_ACCOUNT_SELECTION" };

// ---- to the opener ------------------------------------------------------------------------------------------------

function tell(session) {
  if (state.over) return;
  state.over = true;
  const phone = state.phones.find((one) => one.id === session.phone_id) ?? {};
  const { alter } = VARIANTS[variant.value];
  const message = alter ? alter(session.window_message, phone) : session.window_message;
  if (!window.opener) return;
  if (message) window.opener.postMessage(JSON.stringify(message), "*");
  window.opener.postMessage({ kind: "whatsapp-simulator:done", code: session.code }, "*");
}

function leave(session) {
  tell(session);
  if (window.opener) setTimeout(() => window.close(), 200);
  else show("end", session);
}

addEventListener("pagehide", () => {
  const { session } = state;
  if (state.over || !session) return;
  if (session.state === "finished") {
    tell(session);
    return;
  }
  const data = { current_step: state.current };
  navigator.sendBeacon(`/signup/sessions/${session.session_id}/cancel`, JSON.stringify(data));
  tell({ ...session, code: null, window_message: { type: "WA_EMBEDDED_SIGNUP", event: "CANCEL", data } });
});

const about = (what, body) => post(`/signup/sessions/${state.session.session_id}/${what}`, body);

// ---- the steps ----------------------------------------------------------------------------------------------------

const ORDER = ["owner", "number", "phone", "finish"];

function show(name, ...given) {
  fill(step, STEPS[name](...given));
  step.style.animation = "none";
  void step.offsetWidth; // starts the animation again
  step.style.animation = "";
  const at = ORDER.indexOf(name);
  fill(
    document.getElementById("progress"),
    ORDER.map((one, i) => h("li", { class: i < at || at < 0 ? "done" : null, "aria-current": i === at ? "step" : null }, one)),
  );
  step.querySelector("[autofocus], h1")?.focus();
}

const heading = (text) => h("h1", { tabindex: -1 }, text);
const button = (label, work, style = "button wide") => h("button", { class: style, type: "button", onclick: work }, label);

/** A handler that shows a refusal in the step instead of losing it. */
function trying(problem, work) {
  return async (event) => {
    event?.preventDefault();
    problem.textContent = "";
    try {
      await work();
    } catch (error) {
      problem.textContent = error.message;
    }
  };
}

const STEPS = {
  owner() {
    state.current = "BUSINESS_ACCOUNT_SELECTION";
    const ask = (mark, text) => h("li", {}, icon(mark), text);
    return [
      heading(`Connect your account to ${state.app.name}`),
      h("div", { class: "owner" }, avatar("Olivia Owner"), h("span", {}, h("b", {}, "Olivia Owner"), h("small", {}, "Simulated person, administrator of the business"))),
      h("p", {}, `${state.app.name} will be able to:`),
      h("ul", { class: "asks" }, ask("chats", "Send and receive messages of your WhatsApp account"), ask("settings", "Manage your WhatsApp accounts and their webhooks"), ask("business", "See your business portfolio")),
      button("Continue as Olivia", () => show("number")),
      button("Cancel", () => window.close(), "button ghost wide"),
    ];
  },

  number() {
    state.current = "PHONE_NUMBER_SETUP";
    const problem = h("p", { class: "problem", role: "alert" });
    const free = state.phones.filter((one) => one.state !== "cloud_only");
    const typed = h("input", { type: "tel", name: "typed", placeholder: "+1 415 555 0142", "aria-label": "Another number", autocomplete: "off" });
    const pick = (value, title, note, more) => h("label", { class: "pick" }, h("input", { type: "radio", name: "number", value, required: true }), h("span", {}, h("b", {}, title), note && h("small", {}, note), more));
    const said = { app_only: "On a simulated phone", connected: "Connected already", offboarded: "Connected, offboarded for now", disconnected: "On a simulated phone, connected before" };
    const other = pick("other", "Another number", null, typed);
    typed.addEventListener("focus", () => (other.querySelector("input").checked = true));
    const form = h(
      "form",
      { class: "step" },
      heading("Connect an existing WhatsApp Business app"),
      h("p", {}, "Choose the number of your WhatsApp Business app. The app stays on your phone."),
      h("fieldset", {}, h("legend", {}, "Number"), free.map((one) => pick(one.number, number(one.number), `${one.name} · ${said[one.state]}`)), other),
      problem,
      h("button", { class: "button wide", type: "submit" }, "Next"),
      button("Back", () => show("owner"), "button ghost wide"),
    );
    const first = form.querySelector("input[type=radio]");
    first.checked = true;
    form.addEventListener(
      "submit",
      trying(problem, async () => {
        const chosen = new FormData(form).get("number");
        await choose(chosen === "other" ? typed.value : chosen);
      }),
    );
    return form;
  },

  phone(session) {
    state.current = "PHONE_NUMBER_VERIFICATION";
    const code = session.verification_code;
    const phone = state.phones.find((one) => one.id === session.phone_id);
    const open = h("a", { href: `/phone/${session.phone_id}#/facebook`, target: `phone-${session.phone_id}` }, "Open the simulated phone");
    return [
      heading("Now on your phone"),
      h("p", {}, `Have ${number(phone.number)} at hand, and this code:`),
      h("output", { class: "big-code", "aria-label": `Code ${[...code].join(" ")}` }, `${code.slice(0, 4)}-${code.slice(4)}`),
      h(
        "ol",
        { class: "todo" },
        h("li", {}, h("span", {}, "Open the message from ", h("b", {}, "Facebook Business"), ", or go to ", h("b", {}, "Settings → Account → Business Platform"), ". ", open, ".")),
        h("li", {}, h("span", {}, "Press ", h("b", {}, "Connect"), ", then ", h("b", {}, "Confirm"), ".")),
        h("li", {}, h("span", {}, "Choose whether to share your chats, and enter the code.")),
      ),
      h("p", { class: "waiting", role: "status" }, h("i", { class: "spinner" }), "Waiting for your phone …"),
      button("Cancel", () => window.close(), "button ghost wide"),
    ];
  },

  finish(session) {
    state.current = "PERMISSIONS";
    const problem = h("p", { class: "problem", role: "alert" });
    const finish = trying(problem, async () => {
      state.session = await about("finish");
      leave(state.session);
    });
    const fell = session.event === "FINISH";
    return [
      h("span", { class: fell ? "good-sign bad" : "good-sign" }, icon(fell ? "info" : "check")),
      heading(fell ? "A new number was made" : "Your phone is connected"),
      h("p", {}, fell ? "The popup went the ordinary way: this number isn't in any app. A platform that wanted the owner's number has to notice." : `Press Finish to go back to ${state.app.name}. Keep the app open on your phone while your data is synced.`),
      problem,
      button("Finish", finish),
    ];
  },

  end(session) {
    return [
      h("span", { class: "good-sign" }, icon("check")),
      heading("Done"),
      h("p", {}, "This page wasn't opened by a platform, so nobody was told. This is what it would have heard:"),
      h("pre", { class: "mono small" }, JSON.stringify(session.window_message, null, 2)),
      session.code && h("p", {}, "Code: ", h("code", {}, session.code)),
    ];
  },

  wrong(message) {
    return [h("span", { class: "good-sign bad" }, icon("failed")), heading(message), h("p", {}, "That is all Meta says about a configuration id it doesn't know. The one of this simulator stands on its start page."), button("Close", () => window.close())];
  },
};

// ---- life ---------------------------------------------------------------------------------------------------------

async function choose(typed) {
  if (variant.value === "fell") {
    // Without the feature type the same session takes the ordinary way.
    state.session = await begin({});
  }
  const session = await about("number", { phone_number: typed });
  state.session = session;
  if (variant.value === "error" || variant.value === "event") {
    state.session = await about("cancel", { error_message: "The phone number couldn't be verified." });
    leave(state.session);
    return;
  }
  state.phones = (await get("/control/phones")).phones;
  follow(session);
}

function follow(session) {
  state.session = session;
  if (session.state === "code_shown") show("phone", session);
  else if (session.state === "finished") show("finish", session);
  else if (session.state === "cancelled") leave(session);
}

async function look() {
  const { session } = state;
  if (state.over || session?.state !== "code_shown") return;
  const now = await get(`/signup/sessions/${session.session_id}`);
  if (now.state !== "code_shown") follow(now);
}

const begin = (extras) => post("/signup/sessions", { config_id: query.get("config_id"), extras });

fill(variant, Object.entries(VARIANTS).map(([value, { name }]) => h("option", { value }, name)));
variant.addEventListener("change", () => (document.getElementById("variant-note").textContent = VARIANTS[variant.value].note));
document.getElementById("variant-note").textContent = VARIANTS.usual.note;
listen(({ kind }) => ["session", "reload"].includes(kind) && look().catch(() => {}));

const [phones, app] = await Promise.all([get("/control/phones"), get("/control/app")]);
Object.assign(state, { phones: phones.phones, app });
try {
  state.session = await begin(JSON.parse(query.get("extras") || "{}"));
  show("owner");
} catch (error) {
  show("wrong", error.message);
}
