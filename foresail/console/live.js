// A part of a page that the server draws again and again. Only what changed is touched, so that the
// focus, an open <details> and the reader's place stay. The HTML is made and escaped by the server;
// setHTML is the UI library's, which sanitizes it again.
export default {
  template: "<div @click='click'></div>",
  props: { content: String },
  mounted() {
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
    draw() {
      const made = document.createElement("div");
      made.setHTML(this.content);
      children(this.$el, made);
    },
    click(event) {
      const button = event.target.closest("button");
      if (button && !button.disabled) this.$emit("ask", { ...button.dataset });
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
