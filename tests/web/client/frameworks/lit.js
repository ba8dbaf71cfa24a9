import {LitElement, html, nothing} from 'lit';
import {repeat} from 'lit/directives/repeat.js';

class App extends LitElement {
  static properties = {elements: {attribute: false}};

  constructor() {
    super();
    this.elements = [];
  }

  render() {
    return repeat(this.elements, ({id}) => id, (it) => html`
      <breathing-room
        .server=${it.server} .room=${it.room} .mood=${it.mood} ?observe=${it.observe}
        .label=${it.label} .hideBelow=${it.hideBelow} cap-above=${it.capAbove ?? nothing}
      ></breathing-room>
    `);
  }
}

customElements.define('lit-app', App);

export function start(target) {
  const app = target.appendChild(document.createElement('lit-app'));
  return (elements) => {
    app.elements = elements;
  };
}
