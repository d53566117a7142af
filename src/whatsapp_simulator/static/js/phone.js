// The WhatsApp Business App of one number: chats, contacts, settings, and connecting to the Business Platform.

import { clock, get, listen, post, soon } from "./api.js";
import { preview, ticks } from "./bubble.js";
import { Chat, chatHead, popover } from "./chat.js";
import { Device, group, item, page } from "./device.js";
import { ask, avatar, field, fill, full, h, icon, number, reconcile, refill, toast, tried, when } from "./dom.js";

const id = document.body.dataset.phone;
const base = `/control/phones/${id}`;
const state = { phone: null, chats: [], contacts: [], customers: [], phones: [], app: {} };
const FACEBOOK = "Facebook Business";

const act = (what, body) => post(`${base}/${what}`, body);

// ---- chats --------------------------------------------------------------------------------------------------------

const waiting = () => Boolean(state.phone.pending_session);
const connected = () => state.phone.state === "connected";

function matches(words, ...texts) {
  const wanted = words.trim().toLowerCase();
  return !wanted || texts.some((text) => (text ?? "").toLowerCase().includes(wanted));
}

function chatsScreen() {
  const search = h("input", { type: "search", placeholder: "Search", "aria-label": "Search chats", autocomplete: "off", oninput: () => update() });
  const rows = h("div", { class: "rows" });
  const empty = h("p", { class: "empty" }, "No chats yet. Write to somebody from Contacts, or let a customer write.");
  function update() {
    const now = clock.now();
    const items = state.chats
      .filter((row) => matches(search.value, row.name, row.number, preview(row.last, "business")[1]))
      .map((row) => ({ key: row.customer, signature: JSON.stringify([row, when(row.last.at, now)]), row }));
    if ((waiting() || connected()) && matches(search.value, FACEBOOK)) items.unshift({ key: "facebook", signature: state.phone.state + waiting() });
    reconcile(rows, items, ({ row }) => (row ? chatRow(row, now) : facebookRow()));
    empty.hidden = items.length > 0;
  }
  update();
  const write = h("a", { class: "tool accent", href: "#/contacts", "aria-label": "New chat" }, icon("plus"));
  return { element: page({ title: "Chats", large: true, actions: [write] }, banner(), h("div", { class: "search" }, icon("search"), search), rows, empty), update, tab: "chats" };
}

function chatRow(row, now) {
  const [mark, said] = preview(row.last, "business");
  return h(
    "a",
    { class: row.unread ? "chat-row unread" : "chat-row", href: `#/chat/${row.customer}`, "data-customer": row.customer },
    avatar(row.name),
    h("b", { class: "name" }, row.saved ? row.name : `~${row.name}`),
    h("time", {}, when(row.last.at, now)),
    h("span", { class: "last" }, ticks(row.last, "business"), mark && icon(mark), h("span", {}, said)),
    row.unread > 0 && h("i", { class: "count", "aria-label": `${row.unread} unread` }, row.unread),
  );
}

function facebookRow() {
  return h(
    "a",
    { class: waiting() ? "chat-row unread" : "chat-row", href: "#/facebook", "data-customer": "facebook" },
    h("span", { class: "avatar official" }, icon("business")),
    h("b", { class: "name" }, FACEBOOK, icon("verified", "official")),
    h("time", {}, waiting() ? "now" : ""),
    h("span", { class: "last" }, h("span", {}, waiting() ? `${state.app.name} wants to connect to your account` : "Your account is connected")),
    waiting() && h("i", { class: "count" }, 1),
  );
}

const LOGGED_OUT = "The number was registered through the API, which takes it from the app. Under Controls, press Change device and then Re-register to have it back.";

/** What the owner must know before anything else. */
function banner() {
  if (!state.phone.session_destroyed) return null;
  return h("div", { class: "banner bad" }, icon("failed"), h("p", {}, h("b", {}, "You were logged out."), " ", LOGGED_OUT));
}

function chatScreen(customer) {
  const known = () => state.chats.find((row) => row.customer === customer) ?? {};
  const person = () => state.customers.find((one) => one.id === customer);
  const saved = () => state.contacts.find((one) => one.customer === customer);
  if (!person()) {
    location.replace("#/chats");
    return { element: [] };
  }
  const name = () => saved()?.full_name ?? known().name ?? person().name;
  const chat = new Chat({
    side: "business",
    base,
    peer: { customer },
    thread: `${base}/chats/${customer}`,
    names: { peer: name() },
    onload: () => read(),
  });
  const read = () => {
    if (document.visibilityState === "visible" && device.current?.customer === customer && known().unread) act("read", { customer }).catch(() => {});
  };
  const head = h("div", {});
  function update() {
    const line = !person().phone_visible ? `@${person().username}` : saved() ? number(person().number) : `${number(person().number)} · not saved`;
    const more = h("button", { class: "tool", type: "button", "aria-label": "Chat menu", onclick: (event) => menu(event.currentTarget) }, icon("more"));
    fill(head, chatHead({ name: saved() ? name() : `~${name()}`, line, back: "#/chats", open: `#/contact/${customer}`, tools: [more] }));
    read();
  }
  function menu(at) {
    const one = (mark, label, work) => h("button", { type: "button", role: "menuitem", onclick: () => (list.hidePopover(), work()) }, icon(mark), label);
    const list = h(
      "div",
      { class: "menu", popover: "auto", role: "menu" },
      one("contacts", saved() ? "Edit contact" : "Add to contacts", () => (location.hash = `#/contact/${customer}`)),
      one("phone", "Open the customer's side", () => window.open(`/customer/${customer}#/chat/${id}`, `customer-${customer}`)),
    );
    popover(list, at, chat.element);
  }
  update();
  addEventListener("visibilitychange", read);
  return { element: [head, chat.element], update, chat, customer, leave: () => removeEventListener("visibilitychange", read) };
}

// ---- contacts -----------------------------------------------------------------------------------------------------

function contactsScreen() {
  const search = h("input", { type: "search", placeholder: "Search", "aria-label": "Search contacts", autocomplete: "off", oninput: () => update() });
  const rows = h("div", { class: "rows" });
  function update() {
    const saved = new Map(state.contacts.map((one) => [one.customer, one]));
    const all = state.customers
      .map((person) => ({ person, name: saved.get(person.id)?.full_name, shown: saved.get(person.id)?.full_name ?? person.name }))
      .filter(({ shown, person }) => matches(search.value, shown, person.number, person.username))
      .sort((a, b) => a.shown.localeCompare(b.shown));
    const section = (title, list) => (list.length ? [{ key: title, signature: String(list.length), title, many: list.length }, ...list.map((one) => ({ key: one.person.id, signature: JSON.stringify([one.shown, one.person.number]), ...one }))] : []);
    reconcile(rows, [...section("Contacts", all.filter((one) => one.name)), ...section("Not saved", all.filter((one) => !one.name))], (one) => {
      if (one.title) return h("h2", { class: "rows-title" }, one.title, h("small", {}, ` ${one.many}`));
      const { person, name, shown } = one;
      return h(
        "div",
        { class: "contact-row" },
        h("a", { href: `#/chat/${person.id}` }, avatar(shown), h("span", {}, h("b", {}, name ? shown : `~${shown}`), h("small", {}, person.phone_visible ? number(person.number) : `@${person.username}`))),
        h("a", { class: "tool", href: `#/contact/${person.id}`, "aria-label": name ? `Edit ${shown}` : `Add ${shown}` }, icon(name ? "edit" : "plus")),
      );
    });
  }
  update();
  const add = h("button", { class: "tool accent", type: "button", "aria-label": "New contact", onclick: newContact }, icon("plus"));
  return { element: page({ title: "Contacts", large: true, actions: [add] }, h("div", { class: "search" }, icon("search"), search), rows), update, tab: "contacts" };
}

async function newContact() {
  const given = await ask({
    title: "New contact",
    text: "A number that nobody has yet becomes a new simulated customer.",
    fields: [field("Name", h("input", { name: "name", required: true, autocomplete: "off" })), field("Number", h("input", { name: "number", required: true, inputmode: "tel", placeholder: "+1 415 555 0199", autocomplete: "off" }))],
    yes: "Save",
  });
  if (!given) return;
  await tried(async () => {
    const digits = given.number.replace(/\D/g, "");
    const known = state.customers.find((one) => one.number === digits);
    const customer = known ?? (await post("/control/customers", { name: given.name, number: given.number }));
    await act("contacts", { customer: customer.id, full_name: given.name });
    await load();
    location.hash = `#/chat/${customer.id}`;
  })();
}

function contactScreen(customer) {
  const person = state.customers.find((one) => one.id === customer);
  const entry = state.contacts.find((one) => one.customer === customer);
  if (!person) {
    location.replace("#/contacts");
    return { element: [] };
  }
  const shown = entry?.full_name ?? person.name;
  const back = () => (location.hash = `#/chat/${customer}`);
  const name = h("input", { name: "full_name", value: shown, required: true, autocomplete: "off" });
  const save = tried(async () => {
    await act("contacts", { customer, full_name: name.value });
    toast(entry ? "Contact changed" : "Contact saved");
    back();
  });
  const remove = tried(async () => {
    if (!(await ask({ title: `Remove ${shown} from the contacts?`, text: "The chat stays.", yes: "Remove", danger: true }))) return;
    await act("contacts", { customer, remove: true });
    back();
  });
  const form = h("form", { class: "form", onsubmit: (event) => (event.preventDefault(), save()) }, field("Name", name), h("button", { class: "button wide", type: "submit" }, entry ? "Save" : "Add to contacts"));
  return {
    element: page(
      { title: entry ? "Edit contact" : "Contact", back: `#/chat/${customer}` },
      h("div", { class: "hero" }, avatar(shown), h("h2", {}, shown), h("p", {}, [person.phone_visible && number(person.number), person.username && `@${person.username}`].filter(Boolean).join(" · "))),
      form,
      group(null, item({ mark: "chats", title: "Message", href: `#/chat/${customer}` }), entry && item({ mark: "trash", title: "Remove from contacts", danger: true, onclick: remove })),
    ),
  };
}

// ---- settings -----------------------------------------------------------------------------------------------------

const STATES = {
  app_only: ["Not connected", "plain"],
  connected: ["Connected", "good"],
  offboarded: ["Offboarded", "warn"],
  disconnected: ["Disconnected", "plain"],
  cloud_only: ["No app: ordinary API number", "warn"],
};

function settingsScreen() {
  const body = h("div", {});
  function update() {
    const { phone } = state;
    fill(body, h("div", { class: "profile" }, avatar(phone.name), h("span", {}, h("b", {}, phone.name), h("small", {}, number(phone.number)))),
      group(null, item({ mark: "key", title: "Account", note: "Business Platform, number", href: "#/settings/account" })),
      group(
        null,
        item({ mark: "bell", title: "Notifications", note: "Messages, sounds" }),
        item({ mark: "drive", title: "Storage and data", note: `${phone.history_messages.toLocaleString()} messages before today` }),
        item({ mark: "help", title: "App version", note: phone.app_version }),
      ),
    );
  }
  update();
  return { element: page({ title: "Settings", large: true }, body), update, tab: "settings" };
}

function accountScreen() {
  const body = h("div", {});
  function update() {
    const [label, tone] = STATES[state.phone.state];
    fill(body, group(
        null,
        item({ mark: "business", title: "Business Platform", note: waiting() ? "A request is waiting" : null, href: "#/settings/platform", end: [h("span", { class: `pill ${waiting() ? "warn" : tone}` }, waiting() ? "Waiting" : label), icon("forward")] }),
      ),
      group(null, item({ mark: "phone", title: "Number", note: number(state.phone.number) }), item({ mark: "key", title: "Two-step verification", note: "Off" })),
    );
  }
  update();
  return { element: page({ title: "Account", back: "#/settings" }, body), update, tab: "settings" };
}

function platformScreen() {
  const body = h("div", {});
  function update() {
    const { phone } = state;
    if (waiting()) fill(body, intro("A business platform wants to connect", `${state.app.name} asks to be connected to ${number(phone.number)}. Go on if it was you who asked.`), h("a", { class: "button wide", href: "#/connect", id: "connect" }, "Connect"));
    else if (phone.state === "connected") fill(body, ...connectedBody(phone));
    else if (phone.state === "offboarded") fill(body, intro("Connection paused", "This account was moved to another device. The platform gets nothing until the number is registered again: see Controls."));
    else fill(body, intro("Connect to a business platform", "Keep this app and let a platform of your choice use the same number. Start at your provider: when you type this number there, a message from Facebook Business comes here."), phone.state === "disconnected" && h("p", { class: "note" }, "It was connected before and isn't any more."));
  }
  update();
  return { element: page({ title: "Business Platform", back: "#/settings/account" }, body), update, tab: "settings" };
}

const intro = (title, text) => h("div", { class: "intro" }, h("span", { class: "art", "aria-hidden": "true" }, icon("business"), icon("link"), icon("phone")), h("h2", {}, title), h("p", {}, text));

function connectedBody(phone) {
  const kinds = { smb_app_state_sync: ["contacts", "Contacts"], history: ["chats", "Chats"] };
  const said = (kind) => {
    const sync = phone.syncs[kind];
    if (!sync) return "Not asked for yet";
    if (sync.state === "running") return phone.app_open ? `Syncing … ${sync.progress} %` : "Stopped: the app is closed";
    return { done: "Synced", declined: "Not shared", burned: "Asked too early: nothing was sent" }[sync.state];
  };
  const running = Object.values(phone.syncs).some((sync) => sync.state === "running");
  return [
    intro(`Connected to ${state.app.name}`, running ? "Keep the app open and the phone on a good network while it syncs." : `Since ${full(phone.onboarded_at)}`),
    group(
      "Shared",
      Object.entries(kinds).map(([kind, [mark, title]]) => item({ mark, title, note: said(kind), end: phone.syncs[kind]?.state === "running" ? h("progress", { max: 100, value: phone.syncs[kind].progress }) : phone.syncs[kind]?.state === "done" ? icon("check") : null })),
      item({ mark: "info", title: "Chat history", note: phone.share_history ? "Shared with the platform" : "Not shared" }),
    ),
    group(null, item({ mark: "ban", title: "Disconnect", danger: true, onclick: disconnect })),
  ];
}

const disconnect = tried(async () => {
  const sure = await ask({
    title: `Disconnect from ${state.app.name}?`,
    text: "The platform gets no more messages and can't send any. Your chats stay on this phone.",
    yes: "Disconnect",
    danger: true,
  });
  if (sure) await act("disconnect", {});
});

function facebookScreen() {
  const body = h("div", { class: "thread official" });
  function update() {
    fill(body, h("p", { class: "notice" }, "This is the official account of Facebook Business (simulated)."),
      h(
        "div",
        { class: "row theirs first" },
        h(
          "div",
          { class: "stack" },
          h(
            "div",
            { class: "bubble" },
            waiting()
              ? h("p", { class: "words" }, h("b", {}, "Connect to the Business Platform"), `\n${state.app.name} wants to connect to your WhatsApp Business account ${number(state.phone.number)}.\n\nIf you didn't ask for this, ignore this message.`)
              : h("p", { class: "words" }, connected() ? `Your account is connected to ${state.app.name}. See Settings → Account → Business Platform.` : "There is nothing to do at the moment."),
          ),
          waiting() && h("div", { class: "choices" }, h("a", { class: "choice", href: "#/connect" }, icon("link"), "Connect")),
        ),
      ),
    );
  }
  update();
  return { element: [chatHead({ name: FACEBOOK, mark: "business", line: "Official business account", back: "#/chats" }), h("div", { class: "chat" }, body)], update };
}

/* Connect → Confirm → share or don't → the code. Each step is its own screen of one address, so that Back leaves. */
function connectScreen() {
  const body = h("div", { class: "steps" });
  const choice = { share: true, contacts: true };
  let step = "confirm";
  const go = (next) => {
    step = next;
    draw();
  };
  const draw = () => fill(body, ...STEPS[step]());
  const button = (label, work, style = "button wide") => h("button", { class: style, type: "button", onclick: work }, label);
  const point = (mark, title, text) => h("li", {}, icon(mark), h("span", {}, h("b", {}, title), h("small", {}, text)));
  const STEPS = {
    confirm: () => [
      intro("Connect to the Business Platform", `${state.app.name} will use ${number(state.phone.number)} together with this app.`),
      h(
        "ul",
        { class: "points" },
        point("chats", "Messages go both ways", "The platform sees new one-to-one chats and answers in them; you see its answers here."),
        point("ban", "Some things stop", "Disappearing messages, view once and live location are switched off in one-to-one chats; broadcast lists can only be read."),
        point("phone", "This phone stays in charge", "Open the app at least every 14 days. You can disconnect here at any time."),
      ),
      button("Confirm", () => go("share")),
      h("a", { class: "button ghost wide", href: "#/settings/platform" }, "Cancel"),
    ],
    share: () => [
      intro("Share your chats?", "The platform can get up to 6 months of your one-to-one chats and your contacts. Groups aren't shared."),
      h("label", { class: "check" }, h("input", { type: "checkbox", checked: choice.contacts, onchange: (event) => (choice.contacts = event.target.checked) }), "Share contacts too", h("em", {}, "Simulator")),
      button("Share chats", () => ((choice.share = true), go("code"))),
      button("Don't share chats", () => ((choice.share = false), go("code")), "button ghost wide"),
    ],
    code: () => {
      const problem = h("p", { class: "problem", role: "alert" });
      const input = h("input", { class: "code", id: "code", maxlength: 9, autocomplete: "one-time-code", autocapitalize: "characters", spellcheck: "false", "aria-label": "Code", placeholder: "XXXX-XXXX", required: true });
      input.addEventListener("input", () => {
        const plain = input.value.toUpperCase().replace(/[^A-Z0-9]/g, "").slice(0, 8);
        input.value = plain.length > 4 ? `${plain.slice(0, 4)}-${plain.slice(4)}` : plain;
        problem.textContent = "";
      });
      const submit = async (event) => {
        event.preventDefault();
        try {
          await act("confirm", { code: input.value, share_history: choice.share, share_contacts: choice.contacts });
          go("done");
        } catch (error) {
          problem.textContent = error.message;
          input.select();
        }
      };
      queueMicrotask(() => input.focus());
      return [intro("Enter the code", "It stands in the window where you started, on the other screen."), h("form", { class: "form", onsubmit: submit }, input, problem, h("button", { class: "button wide", type: "submit" }, "Connect"))];
    },
    done: () => [
      h("div", { class: "intro" }, h("span", { class: "art done" }, icon("check")), h("h2", {}, "Connected"), h("p", {}, "Go back to the other window and press Finish. Keep this app open for a few minutes while your data is synced.")),
      h("a", { class: "button wide", href: "#/settings/platform" }, "Done"),
    ],
  };
  draw();
  const update = () => {
    if (!waiting() && step !== "done") location.replace("#/settings/platform");
  };
  queueMicrotask(update);
  return { element: page({ title: "Business Platform", back: "#/settings/platform" }, body), update };
}

/** The phone's home screen: the app is closed. */
function homeScreen() {
  const unread = h("i", { class: "count" });
  const open = tried(async () => {
    await act("app", { open: true });
    location.hash = "#/chats";
  });
  const update = () => {
    const { phone } = state;
    unread.textContent = phone.unread + (waiting() ? 1 : 0);
    unread.hidden = !phone.unread && !waiting();
  };
  update();
  return {
    element: h("div", { class: "home" }, h("p", { class: "big-time" }, full(clock.now()).split(",")[0]), h("button", { type: "button", onclick: open }, h("span", { class: "app-icon" }, icon("business"), unread), "Business chat"), h("p", {}, state.phone.session_destroyed ? LOGGED_OUT : "The app is closed: it receives nothing and syncs nothing. Press it to open it.")),
    update,
  };
}

// ---- the simulator's own controls ---------------------------------------------------------------------------------

const REASONS = {
  disconnect: "Disconnect in the app",
  inactivity: "Inactive for 14 days",
  companion_inactivity: "Companion inactive",
  change_number: "Number changed",
  re_registered: "Registered anew",
  downgrade: "Back to the consumer app",
  account_deleted: "Account deleted",
  enforcement: "Disabled by Meta",
};

function drawAbout() {
  const { phone } = state;
  const [label, tone] = STATES[phone.state];
  const people = state.customers.slice(0, 6);
  fill(document.getElementById("about"), h("h1", {}, phone.name),
    h("p", {}, "The WhatsApp Business App on ", h("b", {}, number(phone.number)), "."),
    h("p", {}, h("span", { class: `pill ${tone}` }, label), waiting() && h("a", { class: "pill warn", href: "#/connect" }, "Asked to connect")),
    h("h2", {}, "Write to it as"),
    h("ul", { class: "links" }, people.map((one) => h("li", {}, h("a", { href: `/customer/${one.id}#/chat/${id}`, target: `customer-${one.id}` }, avatar(one.name), h("span", {}, one.name, h("small", {}, one.phone_visible ? number(one.number) : `@${one.username}`)))))),
    h("p", {}, h("a", { href: "/customers" }, `All ${state.customers.length} customers`)),
    state.phones.length > 1 && [h("h2", {}, "Other phones"), h("ul", { class: "links" }, state.phones.filter((one) => one.id !== id).map((one) => h("li", {}, h("a", { href: `/phone/${one.id}` }, avatar(one.name), h("span", {}, one.name, h("small", {}, number(one.number)))))))],
  );
}

function drawControls() {
  const { phone } = state;
  const controls = document.getElementById("controls");
  const button = (label, work, off = false) => h("button", { class: "button small", type: "button", disabled: off, "data-closes": true, onclick: tried(work) }, label);
  const set = tried((body) => act("settings", body));
  const sync = phone.sync_options;
  const reason = h("select", { "aria-label": "Reason" }, Object.entries(REASONS).map(([value, name]) => h("option", { value }, name)));
  const live = phone.state === "connected";
  const joined = live || phone.state === "offboarded";
  refill(controls, h("header", {}, h("h2", {}, "Simulator controls"), h("p", {}, "No real phone has these."), h("button", { class: "tool closer", type: "button", "aria-label": "Close", "data-closes": true }, icon("close"))),
    h(
      "section",
      {},
      h("h3", {}, "The app"),
      h("div", { class: "buttons" }, phone.app_open ? button("Close the app", () => act("app", { open: false })) : button("Open the app", () => act("app", { open: true }))),
      field("App version", h("input", { value: phone.app_version, onchange: (event) => set({ app_version: event.target.value }) }), "2.24.17 or newer can connect"),
    ),
    h(
      "section",
      {},
      h("h3", {}, "What happens to the connection"),
      h(
        "div",
        { class: "buttons" },
        button("Change device / reinstall", () => act("offboard", {}), !live),
        button("Re-register", () => act("reconnect", { keep: true }), phone.state !== "offboarded"),
        button("Re-register, platform unticked", () => act("reconnect", { keep: false }), phone.state !== "offboarded"),
        button("Inactive 14 days", () => act("disconnect", { reason: "inactivity" }), !joined),
      ),
      h("div", { class: "inline" }, reason, button("End it so", () => act("disconnect", { reason: reason.value }), !joined)),
    ),
    h(
      "section",
      {},
      h("h3", {}, "How it syncs"),
      field("Messages per history webhook", h("input", { type: "number", min: 1, value: sync.per_chunk, onchange: (event) => set({ sync: { per_chunk: Number(event.target.value) } }) })),
      field("Seconds between webhooks", h("input", { type: "number", min: 0, step: 0.1, value: sync.pace, onchange: (event) => set({ sync: { pace: Number(event.target.value) } }) })),
      field("Media follow-ups", h("select", { onchange: (event) => set({ sync: { followups: event.target.value } }) }, ["early", "after", "late", "mixed"].map((one) => h("option", { selected: one === sync.followups }, one)))),
      ...[["shuffle", "Shuffle the chunks"], ["overlap", "Repeat what came since connecting"], ["declined_bare", "Refusal without its envelope"]].map(([key, label]) => h("label", { class: "check" }, h("input", { type: "checkbox", checked: sync[key], onchange: (event) => set({ sync: { [key]: event.target.checked } }) }), label)),
    ),
    h(
      "section",
      {},
      h("h3", {}, "Facts"),
      h(
        "dl",
        { class: "facts" },
        Object.entries({ "Phone number id": phone.id, "WABA id": phone.waba_id, Subscribed: phone.subscribed ? "yes" : "no", "/register calls": phone.register_calls || null, "/deregister calls": phone.deregister_calls || null })
          .filter(([, value]) => value !== null)
          .map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]),
      ),
    ),
  );
}

// ---- life ---------------------------------------------------------------------------------------------------------

let device;

async function loadPhone() {
  const [phone, all, app] = await Promise.all([get(base), get("/control/phones"), get("/control/app")]);
  Object.assign(state, { phone, phones: all.phones, app });
}

async function loadPeople() {
  const [book, people] = await Promise.all([get(`${base}/contacts`), get("/control/customers")]);
  Object.assign(state, { contacts: book.contacts, customers: people.customers });
}

async function loadChats() {
  state.chats = (await get(`${base}/chats`)).chats;
}

const load = () => Promise.all([loadPhone(), loadPeople(), loadChats()]);

function show() {
  if (!state.phone.app_open && device.address !== "#/home") location.replace("#/home");
  else if (state.phone.app_open && device.address === "#/home") location.replace("#/chats");
  device.update();
  drawAbout();
  drawControls();
}

const refresh = {
  phone: soon(async () => (await loadPhone(), show())),
  people: soon(async () => (await loadPeople(), show())),
  chats: soon(async () => (await loadChats(), device.update())),
};

function hear(event) {
  if (event.phone && event.phone !== id) return;
  const chat = device.current?.chat;
  const about = chat && (!event.customer || event.customer === device.current.customer);
  switch (event.kind) {
    case "message":
    case "status":
    case "read":
      refresh.chats();
      if (about) chat.refresh();
      break;
    case "contact":
    case "customer":
      refresh.people();
      refresh.chats();
      break;
    case "phone":
    case "sync":
    case "session":
    case "app":
      refresh.phone();
      break;
    case "reset":
      location.assign("/phone");
      break;
    case "reload":
    case "clock":
      for (const one of Object.values(refresh)) one();
      chat?.refresh();
      break;
    default:
  }
}

await Promise.all([clock.read(), load()]);
device = new Device(
  {
    "#/chats": chatsScreen,
    "#/chat/*": chatScreen,
    "#/contacts": contactsScreen,
    "#/contact/*": contactScreen,
    "#/settings": settingsScreen,
    "#/settings/account": accountScreen,
    "#/settings/platform": platformScreen,
    "#/facebook": facebookScreen,
    "#/connect": connectScreen,
    "#/home": homeScreen,
  },
  {
    home: "#/chats",
    tabs: [
      { id: "chats", name: "Chats", mark: "chats", address: "#/chats", count: () => state.chats.filter((row) => row.unread).length + (waiting() ? 1 : 0) },
      { id: "contacts", name: "Contacts", mark: "contacts", address: "#/contacts" },
      { id: "settings", name: "Settings", mark: "settings", address: "#/settings" },
    ],
  },
);
device.go();
show();
listen(hear);
