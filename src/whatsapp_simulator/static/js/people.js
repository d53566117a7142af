// How a customer is told apart: since usernames there are three kinds of people.

import { h, number } from "./dom.js";

export function badges(customer) {
  return [
    customer.phone_visible ? h("span", { class: "pill plain" }, number(customer.number)) : h("span", { class: "pill warn" }, "Hidden number"),
    customer.username && h("span", { class: "pill good" }, `@${customer.username}`),
    !customer.online && h("span", { class: "pill plain" }, "Phone off"),
  ];
}
