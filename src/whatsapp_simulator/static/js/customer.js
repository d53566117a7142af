// A customer's WhatsApp: the chats with the businesses, and what only a customer can do.

import { clock, get, listen, post, soon } from "./api.js";
import { preview, ticks } from "./bubble.js";
import { Chat, chatHead } from "./chat.js";
import { Device, page } from "./device.js";
import { avatar, field, fill, h, icon, number, reconcile, refill, toast, tried, when } from "./dom.js";
import { badges } from "./people.js";

const id = document.body.dataset.customer;
const base = `/control/customers/${id}`;
const state = { me: null, chats: [], phones: [], stopped: {} };
const act = (what, body) => post(`${base}/${what}`, body);

// ---- screens ------------------------------------------------------------------------------------------------------

function chatsScreen() {
  const rows = h("div", { class: "rows" });
  function update() {
    const now = clock.now();
    const items = state.chats.map((row) => ({ key: row.phone, signature: JSON.stringify([row, row.last && when(row.last.at, now)]), row }));
    reconcile(rows, items, ({ row }) => {
      const [mark, said] = row.last ? preview(row.last, "customer") : [null, "Write the first message"];
      return h(
        "a",
        { class: "chat-row", href: `#/chat/${row.phone}`, "data-phone": row.phone },
        avatar(row.name),
        h("b", { class: "name" }, row.name),
        h("time", {}, row.last ? when(row.last.at, now) : ""),
        h("span", { class: "last" }, row.last && ticks(row.last, "customer"), mark && icon(mark), h("span", {}, said)),
      );
    });
  }
  update();
  return { element: page({ title: "Chats", large: true }, rows), update };
}

function chatScreen(phone) {
  const business = state.phones.find((one) => one.id === phone);
  if (!business) {
    location.replace("#/chats");
    return { element: [] };
  }
  const head = chatHead({ name: business.name, line: `Business account · ${number(business.number)}`, back: "#/chats" });
  const chat = new Chat({
    side: "customer",
    base,
    peer: { phone },
    thread: `/control/phones/${phone}/chats/${id}`,
    names: { peer: business.name },
    onload: (answer) => {
      state.stopped[phone] = answer.marketing_stopped;
      drawControls();
    },
  });
  // Messages are read as they come while the chat is on the screen, and only then.
  let open = null;
  const look = () => {
    const seen = document.visibilityState === "visible";
    if (seen !== open) act("present", { [seen ? "open_with" : "closed"]: phone }).catch(() => {});
    open = seen;
  };
  const gone = () => navigator.sendBeacon(`${base}/present`, JSON.stringify({ closed: phone }));
  look();
  addEventListener("visibilitychange", look);
  addEventListener("pagehide", gone);
  return {
    element: [head, chat.element],
    chat,
    phone,
    leave() {
      removeEventListener("visibilitychange", look);
      removeEventListener("pagehide", gone);
      act("present", { closed: phone }).catch(() => {});
    },
  };
}

// ---- the simulator's own controls -----------------------------------------------------------------------------------

function drawAbout() {
  const { me } = state;
  fill(document.getElementById("about"), h("h1", {}, me.name),
    h("p", {}, "A customer's WhatsApp. What is written here reaches the business on the phone and, when it is connected, on the platform."),
    h("p", { class: "badges" }, badges(me)),
    h("h2", {}, "The other side"),
    h("ul", { class: "links" }, state.phones.map((one) => h("li", {}, h("a", { href: `/phone/${one.id}#/chat/${id}`, target: `phone-${one.id}` }, avatar(one.name), h("span", {}, one.name, h("small", {}, `Phone, ${number(one.number)}`)))))),
    h("p", {}, h("a", { href: "/customers" }, "All customers")),
  );
}

function drawControls() {
  const { me } = state;
  const controls = document.getElementById("controls");
  const phone = device.current?.phone ?? state.phones[0]?.id;
  const business = state.phones.find((one) => one.id === phone);
  const button = (label, work) => h("button", { class: "button small", type: "button", "data-closes": true, onclick: tried(work) }, label);
  const set = tried((body) => act("settings", body));
  const next = h("input", { name: "number", inputmode: "tel", placeholder: "+1 415 555 0123", required: true, autocomplete: "off" });
  const move = tried(async (event) => {
    event.preventDefault();
    await act("number", { number: next.value });
    toast("The number has changed");
  });
  const stopped = state.stopped[phone];
  const marketing = async (value) => {
    await act("marketing", { phone, value });
    state.stopped[phone] = value === "stop";
    toast(value === "stop" ? "Promotions stopped" : "Promotions resumed");
  };
  refill(controls, h("header", {}, h("h2", {}, "Simulator controls"), h("p", {}, "Who this person is, and what isn't in a chat."), h("button", { class: "tool closer", type: "button", "aria-label": "Close", "data-closes": true }, icon("close"))),
    h(
      "section",
      {},
      h("h3", {}, "This phone"),
      h("label", { class: "check" }, h("input", { type: "checkbox", checked: me.online, onchange: tried((event) => act("present", { online: event.target.checked })) }), "Switched on: messages arrive"),
    ),
    business && h("section", {}, h("h3", {}, `Promotions of ${business.name}`), h("p", { class: "note" }, stopped ? "Stopped by this person." : "Allowed."), h("div", { class: "buttons" }, stopped ? button("Resume promotions", () => marketing("resume")) : button("Stop promotions", () => marketing("stop"))),
      h("label", { class: "check" }, h("input", { type: "checkbox", checked: me.experiment, onchange: (event) => set({ experiment: event.target.checked }) }), "In Meta's experiment: gets none (130472)")),
    h(
      "section",
      {},
      h("h3", {}, "Who it is"),
      field("Name", h("input", { value: me.name, onchange: (event) => set({ name: event.target.value }) })),
      field("Username", h("input", { value: me.username ?? "", placeholder: "none", autocapitalize: "none", onchange: (event) => set({ username: event.target.value.replace(/^@/, "") || null }) })),
      h("label", { class: "check" }, h("input", { type: "checkbox", checked: !me.phone_visible, disabled: !me.username, onchange: (event) => set({ phone_visible: !event.target.checked }) }), "Hide the number from businesses"),
    ),
    h("section", {}, h("h3", {}, "Change number"), h("form", { class: "inline", onsubmit: move }, next, h("button", { class: "button small", type: "submit" }, "Change")), h("p", { class: "note" }, "Gives a new user id too; every business is told.")),
    h("section", {}, h("h3", {}, "Facts"), h("dl", { class: "facts" }, Object.entries({ Id: me.id, Number: number(me.number), "User id (BSUID)": me.bsuid, Country: me.country }).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]))),
  );
}

// ---- life ---------------------------------------------------------------------------------------------------------

async function load() {
  const [me, all, chats] = await Promise.all([get(base), get("/control/phones"), get(`${base}/chats`)]);
  Object.assign(state, { me, phones: all.phones, chats: chats.chats });
}

const refresh = soon(async () => {
  await load();
  device.update();
  drawAbout();
  drawControls();
});

function hear(event) {
  if (event.customer && event.customer !== id) return;
  const { chat, phone } = device.current ?? {};
  const here = chat && (!event.phone || event.phone === phone);
  switch (event.kind) {
    case "message":
    case "status":
    case "read":
      if (here) chat.refresh();
      else refresh();
      break;
    case "typing":
      if (here) chat.typing(true);
      break;
    case "customer":
    case "phone":
      refresh();
      if (here) chat.refresh();
      break;
    case "reset":
      location.assign("/customers");
      break;
    case "reload":
    case "clock":
      refresh();
      chat?.refresh();
      break;
    default:
  }
}

await Promise.all([clock.read(), load()]);
// With one business there is nothing to choose.
const device = new Device({ "#/chats": chatsScreen, "#/chat/*": chatScreen }, { home: state.phones.length === 1 ? `#/chat/${state.phones[0].id}` : "#/chats" });
device.go();
drawAbout();
drawControls();
listen(hear);
