// Countries stand in pages by their two letters; here they get the names that their reader knows, in that order.

const names = new Intl.DisplayNames([document.documentElement.lang || "en"], { type: "region" });

function name(root) {
  for (const select of root.querySelectorAll("select[data-countries='']")) {
    select.dataset.countries = "named";
    const chosen = select.value;
    const countries = [...select.options].filter((option) => option.value);
    for (const option of countries) option.textContent = names.of(option.value);
    select.append(...countries.sort((one, other) => one.textContent.localeCompare(other.textContent)));
    select.value = chosen; // an option that is moved isn't the chosen one any more
  }
}

name(document);
document.body.addEventListener("htmx:load", ({ detail }) => name(detail.elt.parentNode ?? document));
