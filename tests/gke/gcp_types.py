"""The types of the Google Cloud provider that the stand-in for its plugin knows."""

from __future__ import annotations

KINDS = {
    "gcp:projects/service:Service": "Api",
    "gcp:compute/network:Network": "Network",
    "gcp:compute/subnetwork:Subnetwork": "Subnetwork",
    "gcp:compute/router:Router": "Router",
    "gcp:compute/routerNat:RouterNat": "RouterNat",
    "gcp:compute/address:Address": "Address",
    "gcp:compute/globalAddress:GlobalAddress": "GlobalAddress",
    "gcp:compute/managedSslCertificate:ManagedSslCertificate": "ManagedSslCertificate",
    "gcp:compute/sSLPolicy:SSLPolicy": "SSLPolicy",
    "gcp:compute/securityPolicy:SecurityPolicy": "SecurityPolicy",
    "gcp:storage/bucket:Bucket": "Bucket",
    "gcp:storage/bucketIAMMember:BucketIAMMember": "BucketIAMMember",
    "gcp:artifactregistry/repository:Repository": "Repository",
    "gcp:artifactregistry/repositoryIamMember:RepositoryIamMember": "RepositoryIamMember",
    "gcp:serviceaccount/account:Account": "Account",
    "gcp:projects/iAMMember:IAMMember": "IAMMember",
    "gcp:container/cluster:Cluster": "Cluster",
    "gcp:container/nodePool:NodePool": "NodePool",
    "gcp:monitoring/dashboard:Dashboard": "Dashboard",
    "gcp:monitoring/notificationChannel:NotificationChannel": "NotificationChannel",
    "gcp:monitoring/alertPolicy:AlertPolicy": "AlertPolicy",
}
COMPUTED = {
    "Address": ("address",),
    "GlobalAddress": ("address",),
    "Account": ("email", "member"),
    "Bucket": ("url", "projectNumber"),
    "NotificationChannel": ("name",),
}
"""What a preview does not know yet, beside the id."""
NAME_PROPERTY = {"Account": "accountId", "Repository": "repositoryId"}
"""Where it is not `name`."""
UNNAMED = (
    *("Api", "IAMMember", "BucketIAMMember", "RepositoryIamMember"),
    *("Dashboard", "NotificationChannel", "AlertPolicy"),
)
"""Which get no name of their own."""
_KINDS_OF = {
    "artifactregistry": ("Repository", "RepositoryIamMember"),
    "cloudresourcemanager": ("IAMMember",),
    "compute": (
        *("Network", "Subnetwork", "Router", "RouterNat", "Address", "GlobalAddress"),
        *("ManagedSslCertificate", "SSLPolicy", "SecurityPolicy"),
    ),
    "container": ("Cluster", "NodePool"),
    "iam": ("Account",),
    "monitoring": ("Dashboard", "NotificationChannel", "AlertPolicy"),
    "storage": ("Bucket", "BucketIAMMember"),
}
API = {kind: f"{api}.googleapis.com" for api, kinds in _KINDS_OF.items() for kind in kinds}
"""Which API makes a kind."""
