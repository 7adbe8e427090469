import type { Requests } from './wrk.ts';

/** Returns the first `count` paths of a load. */
export function pathsOf(requests: Requests, count: number): readonly string[] {
  return Array.from({ length: count }, (_, i) => {
    if (requests.kind === 'same') return requests.path;
    const { prefixes, from, items } = requests;
    const number = items === null ? from + i : (from + i) % items;
    return `${prefixes[number % prefixes.length]}${number}`;
  });
}

/** Returns the requests that follow the first `count`. */
export function after(requests: Requests, count: number): Requests {
  return requests.kind === 'same' ? requests : { ...requests, from: requests.from + count };
}
