/** Where an API server is, and with what one gets in. */
export interface KubernetesAccess {
  /** `https://host:port` */
  readonly server: string;
  /** PEM. Undefined: the system's authorities. */
  readonly ca?: string;
  readonly token?: string;
  /** PEM; both or none. */
  readonly cert?: string;
  readonly key?: string;
  /** The name in the server's certificate, where it is not the host's. */
  readonly serverName?: string;
  /** The server's certificate is not looked at. */
  readonly isUnverified?: boolean;
}
