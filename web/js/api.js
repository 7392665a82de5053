// Asking the agent: one request at a time for each question, paced by its answers, honest about its age.

/** What is known about the connection; pages and the note above them read it. */
export const link = {
  token: null,
  /** `now` of the last answer, ms, and when it came by this machine's steady clock. */
  now: null,
  at: 0,
  started: null,
  lostAt: null,
  restartedAt: null,
  needsToken: false,
  refused: null,
  retryAt: 0,
  paused: false,
  pausedAt: null,
  /** Name of the host, how many features are off, and `agent` or `collector`. */
  host: '',
  off: 0,
  mode: '',
};

const listeners = new Set();

/** Calls back whenever the state of the connection changes. */
export function onLink(listener) {
  listeners.add(listener);
}

function changed() {
  listeners.forEach((listener) => listener(link));
}

/** The agent's time now, as far as it can be told: never this machine's clock. */
export function agentNow() {
  return link.now === null ? Date.now() : link.now + (performance.now() - link.at);
}

/** An answer that is no success. */
export class Refusal extends Error {
  constructor(status, message, body) {
    super(message);
    this.status = status;
    this.body = body;
  }
}

/** Asks once. */
export async function ask(path, parameters = {}, signal) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined && value !== '') query.set(key, String(value));
  }
  const headers = link.token ? { authorization: `Bearer ${link.token}` } : {};
  const text = query.toString();
  const response = await fetch(`/api/v1/${path}${text ? `?${text}` : ''}`, { headers, signal, cache: 'no-store' });
  const body = await response.text();
  let json = null;
  try {
    json = JSON.parse(body);
  } catch {
    // An answer that was cut, or a text: a refusal says what it holds.
  }
  if (response.status === 401) {
    link.needsToken = true;
    changed();
    throw new Refusal(401, 'This address needs the token.');
  }
  if (!response.ok) {
    if (json?.now) reached(json);
    throw new Refusal(response.status, json?.error ?? body.slice(0, 500), json);
  }
  if (json === null) throw new TypeError('half an answer');
  reached(json);
  // A question that makes no sense, and what is no longer in memory, are answers: the browser has no error to tell.
  if (json.wrong !== undefined) throw new Refusal(400, json.wrong, json);
  if (json.gone !== undefined) throw new Refusal(404, json.gone, json);
  return json;
}

function reached(json) {
  const before = { lost: link.lostAt, token: link.needsToken, refused: link.refused, host: link.host, off: link.off, mode: link.mode };
  link.host = json.host ?? link.host;
  link.off = json.off ?? link.off;
  link.mode = json.mode ?? link.mode;
  link.lostAt = null;
  link.needsToken = false;
  link.refused = null;
  if (typeof json.now === 'number') {
    link.now = json.now;
    link.at = performance.now();
  }
  let restarted = false;
  if (typeof json.started === 'number') {
    restarted = link.started !== null && json.started !== link.started;
    if (restarted) link.restartedAt = json.started;
    link.started = json.started;
  }
  if (before.lost || before.token || before.refused || restarted || before.host !== link.host || before.off !== link.off || before.mode !== link.mode) changed();
}

function missed(error) {
  if (error instanceof Refusal) {
    if (error.status === 401) return;
    link.refused = error.status === 403 || error.status >= 500 ? error.message : null;
  } else if (link.lostAt === null) {
    link.lostAt = agentNow();
  }
  changed();
}

/** Hands over the token of this tab; it is kept in memory only. */
export function setToken(token) {
  link.token = token;
  link.needsToken = false;
  changed();
  wakeAll();
}

const pollers = new Set();

/** Asks everything again now. */
export function wakeAll() {
  pollers.forEach((poller) => poller.wake());
}

/** Holds the data still, or lets it go on. */
export function setPaused(paused) {
  link.paused = paused;
  link.pausedAt = paused ? agentNow() : null;
  changed();
  if (!paused) wakeAll();
}

document.addEventListener('visibilitychange', () => {
  if (!document.hidden) wakeAll();
});

/**
 * Asks `question()` (a path and parameters) every `every` ms and hands each answer to `answer`. A refusal that is about
 * the question goes to `refusal`. Waits double while the agent is away, up to 30 s; a hidden tab and a pause ask nothing.
 */
export function poll(every, question, answer, refusal) {
  let timer = null;
  let misses = 0;
  let busy = null;
  let stopped = false;
  let again = false;
  let version = 0;

  async function turn() {
    clearTimeout(timer);
    if (stopped || document.hidden) return;
    if (busy) {
      again = true;
      return;
    }
    const mine = ++version;
    const began = performance.now();
    let wait = every;
    busy = new AbortController();
    const limit = setTimeout(() => busy?.abort(), 20_000);
    try {
      const [path, parameters] = question();
      const json = await ask(path, parameters, busy.signal);
      misses = 0;
      // A slow agent is asked less often.
      if (performance.now() - began > 1000) wait = every * 2;
      if (!stopped && mine === version) answer(json);
    } catch (error) {
      if (!stopped) {
        const ours = error instanceof Refusal && ![401, 403].includes(error.status) && error.status < 500;
        if (ours && refusal) {
          misses = 0;
          refusal(error);
        } else if (error instanceof Refusal || error instanceof TypeError || error.name === 'AbortError') {
          misses += 1;
          wait = Math.min(30_000, 1000 * 2 ** (misses - 1));
          link.retryAt = performance.now() + wait;
          missed(error);
        } else {
          throw error;
        }
      }
    } finally {
      clearTimeout(limit);
      busy = null;
      if (again && !stopped) {
        again = false;
        timer = setTimeout(turn, 0);
      } else if (!stopped && !link.needsToken) {
        timer = setTimeout(paced, wait);
      }
    }
  }

  function paced() {
    if (link.paused) timer = setTimeout(paced, every);
    else turn();
  }

  const poller = {
    /** Asks at once, with the question as it is now. */
    wake() {
      version += 1;
      if (busy) again = true;
      else turn();
    },
    stop() {
      stopped = true;
      clearTimeout(timer);
      busy?.abort();
      pollers.delete(poller);
    },
  };
  pollers.add(poller);
  turn();
  return poller;
}

/** Rows in columns as objects. */
export const objects = ({ cols, rows }) => rows.map((row) => Object.fromEntries(cols.map((col, i) => [col, row[i]])));
