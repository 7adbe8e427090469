/** Which Node.js Weir runs on. Imports nothing, so that an older one can say so before it fails at what it does not know. */
const OLDEST_NODE = 24;

/** Null: it is new enough. */
export function nodeProblem(version: string = process.versions.node): string | null {
  return Number.parseInt(version, 10) >= OLDEST_NODE
    ? null
    : `weir needs Node.js ${OLDEST_NODE} or later, and this is ${version}`;
}
