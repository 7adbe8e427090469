/** Checks the version of Node.js. Imports nothing, so that an older version prints the message before it fails on newer syntax. */
const OLDEST_NODE = 24;

/** Null: the version is new enough. */
export function nodeProblem(version: string = process.versions.node): string | null {
  return Number.parseInt(version, 10) >= OLDEST_NODE
    ? null
    : `weir needs Node.js ${OLDEST_NODE} or later, and this is ${version}`;
}
