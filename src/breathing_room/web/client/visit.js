/**
 * A visit to a room: one visitor in one browser, in however many tabs.
 *
 * One tab leads: it has the connection, and broadcasts its state. The others follow, and the next one leads
 * when it closes (`tabs.js` says which). So a tab that closes ends the visit only if it is the last:
 * otherwise it drops the connection, and the next tab connects with the same visitor id.
 *
 * Events: `mood` (another tab changed it) and `joined` (the room has a name, and the other tabs can be
 * reached).
 */

import {Emitter} from './emitter.js';
import {beacon} from './http.js';
import {Tabs} from './tabs.js';

export class Visit extends Emitter {
  #connector;
  #freshness;
  #tabs;
  #leading = false;     // whether this tab has the connection of the browser
  #owesLeave = false;   // whether the tab that led closed without a leave, so that this tab has to send it
  #controller = null;   // aborted: this tab ends its part of the visit

  /**
   * @param {object} options
   * @param {Connector} options.connector  Connects while this tab leads.
   * @param {Freshness} options.freshness  What the tabs share.
   * @param {string} options.key  Under which the browser keeps the visitor's id; empty: nothing is shared.
   * @param {string} options.visitor  An id of the page's own, or empty.
   */
  constructor({connector, freshness, key, visitor}) {
    super();
    this.#connector = connector;
    this.#freshness = freshness;
    this.#tabs = new Tabs({key, visitor, onMessage: (message) => this.#onTabMessage(message)});
    connector.on({
      config: () => this.#broadcastState(),
      heartbeat: () => {
        this.#tabs.store({});
        this.#tabs.refresh();
      },
      counted: () => (this.#owesLeave = false),
      left: () => (this.#owesLeave = false),
      stopped: () => (this.#leading = false),
    });
    freshness.on({
      presence: () => this.#broadcastState(),
      clock: () => this.#broadcastState(),
      state: (state) => {
        this.#broadcastState();
        // The timers of a leading tab that is hidden are slow: a probe wakes it.
        if (state === 'stale' && !this.#leading) this.#tabs.refresh();
      },
    });
  }

  /** The mood that this browser last chose in the room; null: none. */
  get storedMood() {
    return this.#tabs.load().moods[this.#connector.room] ?? null;
  }

  /** Start the visit; without effect while it runs. */
  start() {
    if (this.#controller) return;
    this.#controller = new AbortController();
    const {signal} = this.#controller;
    const join = () => {
      this.#tabs.join(this.#connector.room, signal, () => this.#lead(signal));
      this.emit('joined');
    };
    if (this.#connector.isNamed) join();
    else this.#connector.fetchName(signal).then(() => this.#connector.isNamed && !signal.aborted && join());
  }

  /**
   * End this tab's part. `graceful`: the visit ends with it; without it, it does where no other tab is open.
   */
  end({graceful} = {}) {
    if (!this.#controller) return;
    // A browser that closes closes all tabs in one instant. So a tab that was to take over and closes at once
    // sends a leave although another may be open, and so does one that only followed; at worst in vain, since
    // the server ignores it while a socket is open.
    if (!(graceful ?? (!this.#tabs.hasOthers || this.#owesLeave))) this.#connector.drop();
    this.#controller.abort();
    this.#controller = null;
    const followed = this.#freshness.transport === 'socket' && !this.#leading;
    if (graceful === undefined && (this.#owesLeave || followed)) this.#sendLeave();
    this.#tabs.leave({led: this.#leading});
    this.#leading = this.#owesLeave = false;
    this.#connector.disconnected();
  }

  /**
   * Store a mood for the next visit, and send it to the other tabs; without effect until the room has a name.
   */
  storeMood(mood) {
    if (!this.#connector.isNamed) return;
    this.#tabs.store({moods: {...this.#tabs.load().moods, [this.#connector.room]: mood}});
    this.shareMood(mood);
  }

  /** Send a mood to the other tabs; null: the room does not have it. */
  shareMood(mood) {
    this.#tabs.broadcast({type: 'mood', mood});
  }

  #lead(signal) {
    this.#leading = true;
    return this.#connector.run(signal, () => this.#tabs.store({}).visitor);
  }

  #sendLeave() {
    const visitor = this.#connector.visitor || this.#tabs.load().visitor;
    beacon(`${this.#connector.address}/leave`, {visitor});
  }

  #onTabMessage({type, ...message}) {
    if (type === 'mood') {
      this.emit('mood', message.mood);
    } else if (type === 'probe' && this.#leading) {
      this.#broadcastState();
      this.#connector.wake();
      // Without locks, two tabs opened in one instant each made an id; both use the one that was stored.
      const {visitor} = this.#connector;
      if (visitor && visitor !== this.#tabs.load().visitor) {
        this.end({graceful: true});
        this.start();
      }
    } else if (type === 'state' && !this.#leading) {
      this.#owesLeave = false;
      this.#connector.follow(message);
      this.#freshness.applySnapshot(message);
    } else if (type === 'closed' && message.led) {
      this.#owesLeave = true;
      this.#freshness.disconnect();
    }
  }

  #broadcastState() {
    const {config} = this.#connector;
    if (this.#leading) this.#tabs.broadcast({type: 'state', config, ...this.#freshness.snapshot});
  }
}
