// One message as a bubble. `side` is who looks: "business" (the phone of the business) or "customer".

import { clock } from "./api.js";
import { h, hm, icon, number } from "./dom.js";

export const mine = (message, side) => message.direction === (side === "business" ? "out" : "in");

const NAMES = {
  image: ["image", "Photo"],
  video: ["video", "Video"],
  audio: ["mic", "Voice message"],
  document: ["file", "Document"],
  sticker: ["sticker", "Sticker"],
  location: ["pin", "Location"],
  contacts: ["card", "Contact"],
  unsupported: ["poll", "Poll"],
  order: ["list", "Order"],
};

/** A message on one line, as lists and quotes show it: [icon or null, words]. */
export function preview(message, side) {
  const { type, content } = message;
  if (message.revoked) return ["ban", mine(message, side) ? "You deleted this message" : "This message was deleted"];
  if (type === "text") return [null, content.body];
  if (type === "template") return [null, message.text];
  if (type === "interactive") return [null, answered(content)?.title ?? content.body?.text ?? "Message"];
  if (type === "button") return [null, content.text];
  const [mark, name] = NAMES[type] ?? ["info", type];
  if (type === "contacts") return [mark, content[0]?.name?.formatted_name ?? name];
  if (type === "audio" && !content.voice) return ["play", "Audio"];
  return [mark, content.caption || content.filename || content.name || name];
}

/** What a tap on a button, a row or a form sent. */
function answered(content) {
  if (content.type === "nfm_reply") return { title: content.nfm_reply.body || "Form sent" };
  return content.button_reply ?? content.list_reply;
}

const TICKS = {
  accepted: ["waiting", "On its way"],
  pending: ["waiting", "Pending"],
  sent: ["sent", "Sent"],
  delivered: ["double", "Delivered"],
  read: ["double", "Read"],
  played: ["double", "Played"],
  failed: ["failed", "Not delivered"],
  error: ["failed", "Not delivered"],
};

export function ticks(message, side) {
  if (!mine(message, side) || message.revoked) return null;
  const [name, label] = TICKS[message.status] ?? TICKS.sent;
  return h("span", { class: `ticks ${message.status}`, title: label }, icon(name, label));
}

/**
 * The bubble's element. `hooks`: quoted(id) → message, name(message) → who, jump(id), open(media), menu(message, at),
 * tap(message, choice), played(message).
 */
export function bubble(message, side, hooks) {
  const own = mine(message, side);
  const bare = message.type === "sticker" && !message.revoked;
  const reactions = [...new Set(Object.values(message.reactions).filter(Boolean))];
  const body = h(
    "div",
    { class: "bubble" },
    message.context?.forwarded && h("p", { class: "forwarded" }, icon("reply"), "Forwarded"),
    message.context?.id && !message.revoked && quote(message, side, hooks),
    message.revoked ? h("p", { class: "gone" }, icon("ban"), preview(message, side)[1]) : inside(message, side, hooks),
    h(
      "span",
      { class: "meta" },
      message.edits.length > 0 && !message.revoked && h("i", {}, "Edited"),
      h("time", { datetime: new Date(message.at * 1000).toISOString() }, hm(message.at)),
      ticks(message, side),
    ),
    h("button", { class: "chevron", type: "button", tabindex: -1, "aria-label": "Message menu", onclick: (event) => hooks.menu(message, event.currentTarget) }, icon("down")),
  );
  const row = h(
    "div",
    {
      class: ["row", own ? "own" : "theirs", bare && "bare", hooks.first(message) && "first", reactions.length && "reacted"].filter(Boolean).join(" "),
      id: `m-${message.id}`,
      tabindex: -1,
      role: "listitem",
      "data-status": message.status,
      "data-origin": message.origin,
      "aria-label": `${own ? "You" : hooks.name(message)}: ${preview(message, side)[1]}, ${hm(message.at)}`,
    },
    h("div", { class: "stack" }, body, reactions.length > 0 && h("button", { class: "reactions", type: "button", "aria-label": `Reactions: ${reactions.join(" ")}`, onclick: (event) => hooks.menu(message, event.currentTarget) }, reactions.join(""))),
    message.held && own && h("span", { class: "held" }, "Held: Meta waits for what people think of this template"),
    own && ["failed", "error"].includes(message.status) && h("span", { class: "not-sent" }, "Not delivered", message.error ? ` (${message.error})` : ""),
  );
  const buttons = message.revoked ? [] : choices(message, side, hooks);
  const deck = message.shown?.cards;
  if (deck && !message.revoked) row.querySelector(".stack").insertBefore(cards(deck, side, hooks, (choice) => hooks.tap(message, choice)), row.querySelector(".reactions"));
  if (buttons.length) row.querySelector(".stack").insertBefore(h("div", { class: "choices" }, buttons), row.querySelector(".reactions"));
  holds(row, () => hooks.menu(message, body));
  return row;
}

/** A long press, the second mouse button and the menu key mean the same. */
function holds(row, open) {
  let timer;
  row.addEventListener("contextmenu", (event) => {
    event.preventDefault();
    open();
  });
  row.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "touch") timer = setTimeout(open, 480);
  });
  for (const end of ["pointerup", "pointercancel", "pointermove"]) row.addEventListener(end, () => clearTimeout(timer));
  row.addEventListener("keydown", (event) => {
    if (event.target === row && (event.key === "Enter" || event.key === "ContextMenu")) {
      event.preventDefault();
      open();
    }
  });
}

function quote(message, side, hooks) {
  const id = message.context.id;
  const quoted = hooks.quoted(id);
  const [mark, said] = quoted ? preview(quoted, side) : ["chats", "An earlier message"];
  const own = quoted && mine(quoted, side);
  return h(
    "button",
    { class: own ? "quote own" : "quote", type: "button", onclick: () => hooks.jump(id) },
    h("b", {}, quoted ? (own ? "You" : hooks.name(quoted)) : "Quoted"),
    h("span", {}, mark && icon(mark), marked(said)),
  );
}

function inside(message, side, hooks) {
  const { type, content } = message;
  switch (type) {
    case "text":
      return words(content.body);
    case "template":
      return template(message.shown ?? { body: content.name }, hooks);
    case "interactive":
      return interactive(content);
    case "button":
      return words(content.text);
    case "image":
      return [picture(content, hooks), content.caption && words(content.caption)];
    case "sticker":
      return h("img", { class: "sticker", src: address(content, "sticker"), alt: "Sticker", loading: "lazy" });
    case "video":
      return [film(content), content.caption && words(content.caption)];
    case "audio":
      return player(message, side, hooks);
    case "document":
      return [paper(content), content.caption && words(content.caption)];
    case "location":
      return place(content);
    case "contacts":
      return content.map(person);
    case "unsupported":
      return poll(content);
    case "order":
      return h("p", { class: "words" }, icon("list"), ` Order of ${content.product_items?.length ?? 0} items`);
    default:
      return h("p", { class: "words muted" }, `A message of type ${type}`);
  }
}

// ---- texts ------------------------------------------------------------------------------------------------------

const MARKS = /(```[\s\S]+?```|`[^`\n]+`|\*[^*\s](?:[^*\n]*[^*\s])?\*|_[^_\s](?:[^_\n]*[^_\s])?_|~[^~\s](?:[^~\n]*[^~\s])?~|https?:\/\/[^\s<]+[^\s<.,;:!?)\]])/g;
const STYLES = { "*": "b", _: "em", "~": "s" };
const EMOJI_ONLY = /^(?:\p{Extended_Pictographic}|\p{Emoji_Modifier}|\u200d|\ufe0f){1,8}$/u;

function words(text) {
  return h("p", { class: EMOJI_ONLY.test(text) ? "words big" : "words", dir: "auto" }, marked(text));
}

/** *bold*, _italic_, ~struck~, `code` and links. */
function marked(text) {
  return text.split(MARKS).map((part, index) => {
    if (index % 2 === 0) return part;
    if (part.startsWith("http")) return h("a", { href: part, target: "_blank", rel: "noreferrer" }, part);
    if (part.startsWith("`")) return h("code", {}, part.replace(/^`+|`+$/g, ""));
    return h(STYLES[part[0]], {}, marked(part.slice(1, -1)));
  });
}

// ---- media ------------------------------------------------------------------------------------------------------

/** Where the bytes of a medium are: here, or behind the link that the platform sent. */
const address = (content, kind) => (content.id ? `/control/media/${content.id}?kind=${kind}` : content.link);

function picture(content, hooks) {
  const image = h("img", { src: address(content, "image"), alt: content.caption || "Photo", loading: "lazy", onload: hooks.grew });
  image.addEventListener("error", () => image.closest(".picture").replaceWith(missing("image", "The picture can't be loaded")));
  return h("button", { class: "picture", type: "button", "aria-label": "Open the picture", onclick: () => hooks.open(image.src) }, image);
}

function film(content) {
  const video = h("video", { src: address(content, "video"), controls: true, preload: "metadata", class: "film" });
  video.addEventListener("error", () => video.replaceWith(missing("video", "Sample video, nothing to play")));
  return video;
}

const missing = (mark, text) => h("div", { class: "missing" }, icon(mark), h("span", {}, text));

function player(message, side, hooks) {
  const { content } = message;
  const audio = h("audio", { src: address(content, "audio"), preload: "none" });
  const button = h("button", { class: "play", type: "button", "aria-label": "Play" }, icon("play"));
  const seed = [...message.id].reduce((sum, letter) => (sum * 33 + letter.charCodeAt(0)) >>> 0, 5);
  const bars = Array.from({ length: 30 }, (_, i) => {
    const bar = h("i");
    bar.style.setProperty("--h", 0.18 + ((((seed >>> i % 13) * (i + 3)) % 17) / 17) * 0.82);
    return bar;
  });
  const show = (done) => bars.forEach((bar, i) => bar.classList.toggle("done", i < done * bars.length));
  const draw = (name, label) => {
    button.replaceChildren(icon(name));
    button.setAttribute("aria-label", label);
  };
  button.addEventListener("click", () => (audio.paused ? audio.play().catch(() => {}) : audio.pause()));
  audio.addEventListener("play", () => {
    draw("pause", "Pause");
    hooks.played(message);
  });
  audio.addEventListener("pause", () => draw("play", "Play"));
  audio.addEventListener("timeupdate", () => show(audio.duration ? audio.currentTime / audio.duration : 0));
  audio.addEventListener("ended", () => show(0));
  const kind = content.voice ? "voice" : "voice song";
  return h("div", { class: message.status === "played" ? `${kind} heard` : kind }, button, h("div", { class: "wave", "aria-hidden": "true" }, bars), icon(content.voice ? "mic" : "play"), audio);
}

function paper(content) {
  const name = content.filename || "document";
  const ending = name.includes(".") ? name.split(".").pop().toUpperCase().slice(0, 4) : "FILE";
  return h("a", { class: "paper", href: address(content, "document"), target: "_blank", rel: "noreferrer" }, h("span", { class: "kind" }, ending), h("span", {}, h("b", {}, name), h("small", {}, (content.mime_type || "").split("/").pop())));
}

function place(content) {
  const name = content.name || `${Number(content.latitude).toFixed(4)}, ${Number(content.longitude).toFixed(4)}`;
  return h("div", { class: "place" }, h("div", { class: "map", "aria-hidden": "true" }, icon("pin")), h("b", {}, name), content.address && h("small", {}, content.address));
}

function person(card) {
  const phone = card.phones?.[0];
  return h("div", { class: "person" }, icon("contacts"), h("span", {}, h("b", {}, card.name?.formatted_name ?? "Contact"), phone && h("small", {}, phone.phone ?? number(phone.wa_id))));
}

function poll(content) {
  const known = { poll_creation: "Poll", pin: "Pinned message", keep_in_chat: "Kept message" };
  return h("div", { class: "poll" }, h("b", {}, icon("poll"), known[content.type] ?? "Something the API doesn't know"), h("small", {}, `The platform gets this as unsupported (${content.code}).`));
}

// ---- messages with choices --------------------------------------------------------------------------------------

/** A template with its places filled: {header?, offer?, body?, footer?, buttons, cards?}. */
function template({ header, offer, body, footer }, hooks) {
  const tops = { text: () => h("p", { class: "words top-words" }, header.text), image: () => picture(header.image, hooks), video: () => film(header.video), document: () => paper(header.document), location: () => place(header.location) };
  return [header && tops[header.type](), offer && deal(offer), body && words(body), footer && h("p", { class: "words muted small" }, footer)];
}

/** The strip of a limited-time offer. */
function deal({ text, expires_at }) {
  const left = expires_at && Math.round((expires_at - clock.now()) / 3600);
  const ends = left > 48 ? `Ends in ${Math.round(left / 24)} days` : left > 0 ? `Ends in ${left} h` : "Ended";
  return h("div", { class: "deal" }, icon("waiting"), h("span", {}, h("b", {}, text), expires_at && h("small", {}, ends)));
}

/** The cards of a carousel, each with a picture, words and buttons of its own. */
function cards(shown, side, hooks, press) {
  return h("div", { class: "cards", tabindex: 0, "aria-label": "Cards" }, shown.map((card) => h("div", { class: "card-item" }, h("div", { class: "bubble" }, template(card, hooks)), card.buttons.map((one) => templateButton(one, side, press)))));
}

const OTP = "https://www.whatsapp.com/otp/";

/** Under a template; on the side of the business nothing can be pressed. */
function templateButton({ type, text, payload, url, value, phone_number, flow_token }, side, press) {
  const disabled = side !== "customer";
  const button = (mark, choice) => h("button", { type: "button", class: "choice", disabled, onclick: () => press(choice) }, icon(mark), text ?? "Copy code");
  if (type === "COPY_CODE" || url?.startsWith(OTP)) return button("copy", { kind: "copy", choice: value });
  if (type === "FLOW") return button("forward", { kind: "flow", title: text, token: flow_token });
  if (type === "REQUEST_CONTACT_INFO") return button("card", { kind: "contact" });
  if (type === "QUICK_REPLY") return button("reply", { kind: "tap", choice: payload });
  return h("a", { class: "choice", href: url ?? `tel:${phone_number}`, target: "_blank", rel: "noreferrer" }, icon(url ? "link" : "phone"), text);
}

function interactive(content) {
  const reply = answered(content);
  if (reply) return [words(reply.title), reply.description && h("p", { class: "words muted" }, reply.description)];
  const top = content.header;
  return [
    top?.type === "text" && h("p", { class: "words" }, h("b", {}, top.text)),
    top?.type === "image" && h("img", { class: "top", src: address(top.image, "image"), alt: "" }),
    ["video", "document"].includes(top?.type) && missing(...NAMES[top.type]),
    words(content.body?.text ?? ""),
    content.footer?.text && h("p", { class: "words muted small" }, content.footer.text),
  ];
}

/** The buttons under a message; only the customer can press them. */
function choices(message, side, hooks) {
  const { type, content } = message;
  const button = (mark, title, choice) =>
    h("button", { type: "button", class: "choice", disabled: side !== "customer", onclick: () => hooks.tap(message, choice) }, mark && icon(mark), title);
  if (type === "template") return (message.shown?.buttons ?? []).map((one) => templateButton(one, side, (choice) => hooks.tap(message, choice)));
  if (type !== "interactive" || message.direction !== "out") return [];
  const action = content.action ?? {};
  switch (content.type) {
    case "button":
      return action.buttons.map(({ reply }) => button("reply", reply.title, { kind: "tap", choice: reply.id }));
    case "list":
      return [button("list", action.button, { kind: "list", title: action.button, sections: action.sections })];
    case "cta_url":
      return [h("a", { class: "choice", href: action.parameters.url, target: "_blank", rel: "noreferrer" }, icon("link"), action.parameters.display_text)];
    case "flow":
      return [button("forward", action.parameters.flow_cta, { kind: "flow", title: action.parameters.flow_cta, token: action.parameters.flow_token })];
    case "location_request_message":
      return [button("pin", "Send location", { kind: "location" })];
    case "request_contact_info":
      return [button("card", "Share contact info", { kind: "contact" })];
    default:
      return [];
  }
}
