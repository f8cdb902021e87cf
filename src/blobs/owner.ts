/** Of a tenant's id what keeps its place within the folder, or the prefix, of all such places. */
export const OWNER = /^[a-z0-9][a-z0-9-]{0,62}$/;
