import Testing

@testable import AnyRes
