import type { ReactNode } from "react";
import type { AlertView } from "../../api/index.ts";
import { Link } from "../../components/link.tsx";

/** What an alert is about, as the way there. */
export function Subject({ alert, tenant }: { alert: AlertView; tenant: string }): ReactNode {
  const { subjectKind, subjectId } = alert;
  if (subjectKind === "device") {
    return (
      <Link to="/t/$tenant/devices/$device" params={{ tenant, device: subjectId }}>
        {subjectId}
      </Link>
    );
  }
  if (subjectKind === "rollout") {
    return (
      <Link to="/t/$tenant/rollouts/$rollout" params={{ tenant, rollout: subjectId }}>
        the rollout
      </Link>
    );
  }
  return `${subjectKind} ${subjectId}`;
}
