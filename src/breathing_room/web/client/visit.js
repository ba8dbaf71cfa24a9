/**
 * A visit to a room: one person in one browser, in however many tabs.
 *
 * One tab leads: it has the connection, and passes on what it hears. The others follow, and the next one
 * leads when it goes (`tabs.js` says whose turn it is). So a tab that goes ends the visit only if it is the
 * last: otherwise it drops the connection, and the next tab comes with the same visitor id.
 *
 * Events: `mood` (another tab named one) and `joined` (the room has a name, and the other tabs can hear us).
 */

import {Emitter} from './emitter.js';
import {beacon} from './http.js';
import {Tabs} from './tabs.js';

export class Visit extends Emitter {
  #connector;
  #freshness;
  #tabs;
  #leading = false;   // whether the connection of this browser is ours
  #owing = false;     // whether the tab that led went without a leave, and counts on us
  #here = null;       // AbortController; aborted: this tab goes

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
    this.#tabs = new Tabs({key, visitor, hear: (message) => this.#hearTab(message)});
    connector.on({
      config: () => this.#passOn(),
      heartbeat: () => {
        this.#tabs.remember({});
        this.#tabs.refresh();
      },
      counted: () => (this.#owing = false),
      left: () => (this.#owing = false),
      stopped: () => (this.#leading = false),
    });
    freshness.on({
      presence: () => this.#passOn(),
      clock: () => this.#passOn(),
      state: (state) => {
        this.#passOn();
        // A leading tab that is hidden may be slow: ask it to hurry.
        if (state === 'stale' && !this.#leading) this.#tabs.refresh();
      },
    });
  }

  /** The mood that this browser last chose in the room; null: none. */
  get recalledMood() {
    return this.#tabs.recall().moods[this.#connector.room] ?? null;
  }

  /** Be in the room; without effect while we are. */
  arrive() {
    if (this.#here) return;
    this.#here = new AbortController();
    const {signal} = this.#here;
    const join = () => {
      this.#tabs.join(this.#connector.room, signal, () => this.#lead(signal));
      this.emit('joined');
    };
    if (this.#connector.isNamed) join();
    else this.#connector.learnName(signal).then(() => this.#connector.isNamed && !signal.aborted && join());
  }

  /** Go. `graceful` says whether the visit ends with it; without it, it does where no other tab stays. */
  depart({graceful} = {}) {
    if (!this.#here) return;
    // A browser that closes closes all tabs in one instant. So a tab that was to take over and goes at once
    // sends a leave although another may stay, and so does one that only followed; at worst in vain, for the
    // server heeds it only where no socket is open.
    if (!(graceful ?? (!this.#tabs.hasOthers || this.#owing))) this.#connector.drop();
    this.#here.abort();
    this.#here = null;
    const followed = this.#freshness.transport === 'socket' && !this.#leading;
    if (graceful === undefined && (this.#owing || followed)) this.#sendLeave();
    this.#tabs.leave({led: this.#leading});
    this.#leading = this.#owing = false;
    this.#connector.disconnected();
  }

  /** Keep a mood for the next time, and pass it on to the other tabs; in vain until the room has a name. */
  keepMood(mood) {
    if (!this.#connector.isNamed) return;
    this.#tabs.remember({moods: {...this.#tabs.recall().moods, [this.#connector.room]: mood}});
    this.shareMood(mood);
  }

  /** Pass a mood on to the other tabs; null: the room does not have ours. */
  shareMood(mood) {
    this.#tabs.say({type: 'mood', mood});
  }

  #lead(signal) {
    this.#leading = true;
    return this.#connector.run(signal, () => this.#tabs.remember({}).visitor);
  }

  #sendLeave() {
    const visitor = this.#connector.visitor || this.#tabs.recall().visitor;
    beacon(`${this.#connector.address}/leave`, {visitor});
  }

  #hearTab({type, ...said}) {
    if (type === 'mood') {
      this.emit('mood', said.mood);
    } else if (type === 'hello' && this.#leading) {
      this.#passOn();
      this.#connector.wake();
      // Without locks, two tabs opened in one instant each made an id; the one that was stored is both tabs'.
      const {visitor} = this.#connector;
      if (visitor && visitor !== this.#tabs.recall().visitor) {
        this.depart({graceful: true});
        this.arrive();
      }
    } else if (type === 'news' && !this.#leading) {
      this.#owing = false;
      this.#connector.follow(said);
      this.#freshness.follow(said);
    } else if (type === 'bye' && said.led) {
      this.#owing = true;
      this.#freshness.lose();
    }
  }

  #passOn() {
    const {config} = this.#connector;
    if (this.#leading) this.#tabs.say({type: 'news', config, ...this.#freshness.news});
  }
}
