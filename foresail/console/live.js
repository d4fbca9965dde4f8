// A part of a page that the server draws again and again. Only what changed is touched, so that the
// focus, an open <details> and the reader's place stay. The HTML is made and escaped by the server;
// setHTML is the UI library's, which sanitizes it again. The document already holds the first HTML,
// so that it can be read before the library has loaded: the part takes those elements over.
const TYPING_MILLISECONDS = 150;

export default {
  template: "<div @click='click' @input='input'></div>",
  props: { content: String, first: String },
  mounted() {
    this.takeOver();
    this.draw();
  },
  updated() {
    this.draw();
  },
  watch: {
    content() {
      this.draw();
    },
  },
  methods: {
    takeOver() {
      const first = document.getElementById(this.first);
      if (!first) return;
      const focused = first.contains(document.activeElement) ? document.activeElement : null;
      this.$el.append(...first.childNodes);
      const column = first.parentElement;
      first.remove();
      if (!column.childElementCount) column.remove();
      focused?.focus({ preventScroll: true });
      this.$el.querySelectorAll("input").forEach((field) => field.value && this.search(field));
    },
    draw() {
      const made = document.createElement("div");
      made.setHTML(this.content);
      children(this.$el, made);
    },
    click(event) {
      const button = event.target.closest("button");
      if (button && !button.disabled) this.$emit("ask", { ...button.dataset });
    },
    input(event) {
      clearTimeout(this.typing);
      this.typing = setTimeout(() => this.search(event.target), TYPING_MILLISECONDS);
    },
    search(field) {
      this.$emit("ask", { search: field.value });
    },
  },
};

function children(shown, made) {
  const before = [...shown.childNodes];
  const after = [...made.childNodes];
  after.forEach((node, place) => {
    const there = before[place];
    if (!there) shown.append(node);
    else if (same(there, node)) patch(there, node);
    else there.replaceWith(node);
  });
  before.slice(after.length).forEach((node) => node.remove());
}

function same(there, node) {
  return there.nodeName === node.nodeName && there.id === node.id;
}

function patch(there, node) {
  if (node.nodeType !== Node.ELEMENT_NODE) {
    if (there.nodeValue !== node.nodeValue) there.nodeValue = node.nodeValue;
    return;
  }
  for (const { name } of [...there.attributes])
    if (!node.hasAttribute(name) && name !== "open") there.removeAttribute(name);
  for (const { name, value } of node.attributes)
    if (there.getAttribute(name) !== value) there.setAttribute(name, value);
  children(there, node);
}
