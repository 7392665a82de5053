// The address: `#/page/parts?state`. Names from the wire stay behind the `#`, out of request logs.

/** The address as parts and state. */
export function current() {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const parts = path.split('/').filter(Boolean).map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  return { parts: parts.length ? parts : ['services'], query: new URLSearchParams(query) };
}

/** An address from parts and state; empty state is left out. */
export function address(parts, state = {}) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(state)) {
    if (value !== null && value !== undefined && value !== '' && value !== false) query.set(key, String(value));
  }
  const text = query.toString();
  return `#/${parts.map(encodeURIComponent).join('/')}${text ? `?${text}` : ''}`;
}

/** Goes to another page. */
export function go(parts, state) {
  location.hash = address(parts, state);
}

/** Writes state of the page at hand into the address, without a step in the history. */
export function remember(changes) {
  const { parts, query } = current();
  for (const [key, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === '' || value === false) query.delete(key);
    else query.set(key, String(value));
  }
  history.replaceState(null, '', address(parts, Object.fromEntries(query)));
}
